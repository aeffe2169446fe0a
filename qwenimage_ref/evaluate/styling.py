"""The style of one picture: a LoRA written in one pass against one that is trained on it.

    python -m qwenimage_ref.evaluate.styling FILE     the network of pocket.stylist; resumes

Held-out styles: colours of shapes on papers on which training never shows them. Each is shown by
one poster; other posters are then painted and read back from the pixels. Their captions do not
mention the style. Both adapters have one rank and adapt the same layers. The answers are
written to data/measurements/styling.json.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from ..adapt import image_to_lora, lora
from ..pictures import to_input
from ..pipeline import QwenImage
from ..pocket import stylist
from ..pocket.train import SIGMA_SHIFT
from ..posters.styles import UNSEEN_STYLES, Style, judge, styled_poster
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.flow import flow_step, sample_sigma
from ..train.loop import Recipe
from ..train.precision import mixed
from ..train.state import digest
from .intervals import interval, mean_interval
from .score import Trial, trials
from .survey import Progress, terms_of

RECORD = MEASUREMENTS / "styling.json"
FIRST_SEED = 95_000_000  # seed of the poster that shows the first style; no training has it
PAINTED = 4  # posters in each style
STEPS = 8  # steps of painting, unguided
TRAINED = (1, 8, 32, 128)  # steps of the LoRA that is trained on the one poster
RECIPE = Recipe(steps=TRAINED[-1], batch=8, lr=2e-3, warmup=8, decay_from=1.0)
RIGHT = ("paper", "colour", "style", "scene")  # keys of styles.judge
ALONE, WRITTEN = "no adapter", "written in one pass"


def trained(steps: int) -> str:
    """The key of a trained adapter in the record"""
    return f"trained, {steps} step{'s' * (steps > 1)}"


@dataclass(frozen=True)
class Shown:
    """A held-out style, and the poster that shows it."""

    style: Style
    picture: Image.Image
    caption: str


def shown(number: int) -> Shown:
    """The held-out style of that number; after all of them, they come again with other posters"""
    style = UNSEEN_STYLES[number % len(UNSEEN_STYLES)]
    _, picture, caption = styled_poster(style, FIRST_SEED + number)
    return Shown(style, Image.fromarray(picture), caption)


def answers(pipe: QwenImage, style: Style, asked: list[Trial]) -> dict:
    """Paint what is asked -> for each key of RIGHT, in which of the posters it is right"""
    painted = pipe(
        [trial.prompt for trial in asked], " ", true_cfg_scale=1.0, num_inference_steps=STEPS,
        seed=[trial.seed for trial in asked],
    )  # fmt: skip
    judged = [judge(style, trial.scene, each) for trial, each in zip(asked, painted)]
    return {key: [each[key] for each in judged] for key in RIGHT}


def written(pipe: QwenImage, network, example: Shown, asked: list[Trial]) -> dict:
    """Answers with the adapter that the network writes, and the seconds that writing takes"""
    start = time.process_time()
    adapter = stylist.attach(pipe, network, [example.picture])
    seconds = time.process_time() - start
    try:
        return answers(pipe, example.style, asked) | {"seconds": round(seconds, 3)}
    finally:
        adapter.remove()


def trained_on(pipe: QwenImage, example: Shown, asked: list[Trial], seed: int) -> dict[str, dict]:
    """Answers with an adapter of the same rank and layers that is trained on the one poster

    -> {key of the number of steps: answers, and the seconds of training}
    """
    mmdit, result, seconds = pipe.transformer, {}, 0.0
    adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], stylist.RANK, seed=seed)
    optimiser = torch.optim.AdamW(adapter.parameters(), RECIPE.lr, RECIPE.betas, weight_decay=0.0)
    for step in range(RECIPE.steps):
        start = time.process_time()
        _step(pipe, example, step, optimiser)
        seconds += time.process_time() - start
        if step + 1 in TRAINED:
            row = answers(pipe, example.style, asked) | {"seconds": round(seconds, 3)}
            result[trained(step + 1)] = row
    adapter.remove()
    return result


def _step(pipe: QwenImage, example: Shown, step: int, optimiser) -> None:
    """One step of flow matching on a poster, seen under several noises at once."""
    with torch.no_grad():
        latents = pipe.vae.normalize(pipe.vae.encode(to_input([example.picture]))[0])
        txt, _ = pipe.encode_prompt([example.caption])
    data, txt = (tensor.expand(RECIPE.batch, *tensor.shape[1:]) for tensor in (latents, txt))
    rng = RECIPE.generator(step)
    noise = torch.randn(data.shape, generator=rng)
    sigma = sample_sigma(RECIPE.batch, SIGMA_SHIFT, rng)
    with mixed():
        flow_step(pipe.transformer, data, noise, sigma, txt).backward()
    for group in optimiser.param_groups:
        group["lr"] = RECIPE.lr_at(step)
    optimiser.step()
    optimiser.zero_grad()


def of_style(pipe: QwenImage, network, number: int) -> dict[str, dict]:
    """Every way to the held-out style of that number, on the same captions and noise"""
    example = shown(number)
    asked = trials((number + 1) * PAINTED)[-PAINTED:]
    return {
        ALONE: answers(pipe, example.style, asked) | {"seconds": 0.0},
        WRITTEN: written(pipe, network, example, asked),
        **trained_on(pipe, example, asked, seed=number),
    }


def rows(styles: list[dict[str, dict]]) -> dict[str, dict]:
    """Of each way: shares of the posters that are right, and the mean of seconds; intervals"""
    table = {}
    for way in styles[0]:
        mine = [style[way] for style in styles]
        right = {key: [each for style in mine for each in style[key]] for key in RIGHT}
        table[way] = {key: interval(sum(each), len(each)) for key, each in right.items()}
        table[way]["seconds"] = mean_interval([style["seconds"] for style in mine])
    return table


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.styling")
    parser.add_argument("network", type=Path, metavar="FILE")
    parser.add_argument("--styles", type=int, default=12, metavar="N", help="held-out styles")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.styles < 2:
        print(f"--styles must be at least 2, got {options.styles}; ask for more", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(options.base)
    network = image_to_lora.load(options.network, pipe.transformer, torch.float32)
    terms = terms_of(pipe, options.styles) | {"network": digest(network)}
    progress = Progress(options.to, terms)
    for number in tqdm(range(options.styles), unit="style"):
        progress.measure(f"style {number}", of_style, pipe, network, number)
    measured = [progress.results[f"style {number}"] for number in range(options.styles)]
    table = rows(measured)
    write_record(terms | {"rows": table, "styles": measured}, options.to)
    progress.file.unlink()
    for way, row in table.items():
        print(f"{way}: style {row['style']['share']}, scene {row['scene']['share']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
