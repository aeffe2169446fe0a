"""A small sibling of the painter: the same classes and the same latents, trained in minutes.

It paints posters without words and serves short experiments. `data/mid` holds it in the middle of
its training, where the loss falls visibly within a minute.

python -m qwenimage_ref.pocket.sibling     trains data/mid, and measures where sixty steps end
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path

import torch

from ..checkpoint import load_into, save
from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import DATA, in_a_clone
from ..train.flow import flow_step
from ..train.loop import Recipe, Run
from ..train.state import digest
from .curriculum import TOKENS
from .lessons import Lesson
from .train import POCKET_MMDIT, Latents, Painter, batch, encode_posters, text_config

MID, BAND = DATA / "mid", DATA / "measurements" / "mid_band.json"
TAKEN = 100  # steps of the lesson before it is shipped
SEEDS = 8  # seeds of the noise that the band is measured with
LAST = 20  # losses that are averaged
TEXT = dataclasses.replace(
    text_config(TOKENS),  # the vocabulary of data/pocket
    num_hidden_layers=2,
    hidden_size=96,
    num_attention_heads=3,
    num_key_value_heads=1,
    intermediate_size=192,
    mrope_section=(4, 6, 6),
)
MMDIT = dataclasses.replace(
    POCKET_MMDIT,
    num_layers=4,
    num_attention_heads=3,
    attention_head_dim=32,
    joint_attention_dim=96,
    axes_dims_rope=(8, 12, 12),
)


LESSON = Lesson(
    Recipe(steps=800, batch=32, lr=6e-3, muon_lr=1e-2, warmup=50, decay_from=0.3, ema=0.99),
    first=2_048_000,
    word_share=0.0,  # a word takes an hour to learn, the rest minutes
    posters=4096,  # one core encodes them in a minute
)
# a gentler rate with a warm-up of its own, because the optimisers begin anew
EXERCISE = Lesson(
    Recipe(steps=60, batch=32, lr=1e-3, muon_lr=2e-3, warmup=10, decay_from=1.0, ema=0.9),
    first=LESSON.first,
    word_share=0.0,
    posters=512,  # encoded in seconds
)


def new(seed: int = 0) -> Painter:
    """The sibling, untrained."""
    return Painter(seed, (TEXT, MMDIT))


def load_mid() -> Painter:
    """The sibling in the middle of its training, in float32, ready to be trained further."""
    painter = new()
    load_into(painter, MID, torch.float32)
    return painter


def pipeline(pipe: QwenImage, painter: Painter) -> QwenImage:
    """`pipe` with the painter's networks in place of its own."""
    return QwenImage(
        pipe.tokenizer,
        painter.text_encoder,
        painter.transformer,
        pipe.vae,
        pipe.scheduler,
        pipe.recommended,
    )


def loss_of(painter: Painter, prefix: int, ids, mask, data, noise, sigma):
    """The tensors of `batch` -> () loss of flow matching, without the first `prefix` text states"""
    # float32: matrices of this size take longer in bfloat16, even on a CPU that multiplies it
    txt = painter.text_encoder(ids)[:, prefix:]
    return flow_step(painter.transformer, data, noise, sigma, txt, mask[:, prefix:])


def encode(vae) -> torch.Tensor:
    """-> (N, 16, 16, 16): the latents of the exercise's 512 posters"""
    starts = range(0, EXERCISE.posters, 32)
    return torch.cat([encode_posters(vae, EXERCISE, range(i, i + 32)) for i in starts])


def go_on(painter: Painter, tokenizer, latents, steps: int = 60, seed: int = 0) -> list[float]:
    """Train the painter for `steps` more steps -> their losses. The seed chooses the noise."""
    recipe = dataclasses.replace(EXERCISE.recipe, steps=steps, seed=seed)
    lesson, losses = dataclasses.replace(EXERCISE, recipe=recipe), []

    def loss_at(step):
        drawn = batch(lesson, latents, tokenizer, step)
        loss = loss_of(painter, tokenizer.prefix_length, *drawn)
        losses.append(loss.item())
        return loss

    with tempfile.TemporaryDirectory() as folder:
        Run(painter, recipe, folder, painter.matrices()).fit(loss_at, quiet=True)
    return losses


def band(tokenizer, latents) -> dict:
    """The range of the exercise's final losses: four deviations around their mean over seeds."""
    ends = []
    for seed in range(SEEDS):
        losses = go_on(load_mid(), tokenizer, latents, seed=seed)
        ends.append(statistics.fmean(losses[-LAST:]))
    mean, deviation = statistics.fmean(ends), statistics.stdev(ends)
    return {
        "steps": EXERCISE.recipe.steps,
        "last": LAST,
        "means": [round(end, 5) for end in ends],
        "low": round(mean - 4 * deviation, 5),
        "high": round(mean + 4 * deviation, 5),
    }


def middle(pipe: QwenImage, folder: Path) -> Painter:
    """The sibling after TAKEN steps of LESSON; `folder` keeps the state of its training."""
    painter, prefix = new(LESSON.recipe.seed), pipe.tokenizer.prefix_length
    latents = Latents(pipe.vae, LESSON, folder / "latents")

    def loss_at(step):
        return loss_of(painter, prefix, *batch(LESSON, latents, pipe.tokenizer, step))

    Run(painter, LESSON.recipe, folder, painter.matrices(), digest(pipe.vae)).fit(loss_at, TAKEN)
    return painter


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.sibling")
    parser.add_argument("--runs", type=Path, default=Path("runs/sibling"), help="folder for states")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    save(middle(pipe, options.runs), MID, stem="painter", dtype=torch.bfloat16)
    measured = band(pipe.tokenizer, encode(pipe.vae))
    write_record(measured, BAND)
    print(f"{MID}: written; sixty steps end between {measured['low']} and {measured['high']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
