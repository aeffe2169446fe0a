"""A pocket EliGen: a LoRA that has learned what the mask over regions means.

    python -m qwenimage_ref.pocket.regional     resumes where it was stopped
    python -m qwenimage_ref.pocket.regional --whole     the same without regions, to compare with

Posters of two to four shapes; the prompt of the whole says which there are, a prompt for each box
says which one is there.
"""

import argparse
import random
from dataclasses import dataclass
from pathlib import Path

import torch

from ..adapt import lora
from ..adapt.regions import attention_mask, text_positions
from ..conditions import Branch
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.crowded import Crowded, crowded
from ..posters.draw import paint
from ..repository import POCKET, ROOT, in_a_clone
from ..sampler import pack
from ..tasks.regions import seen_tokens
from ..train.flow import sample_sigma
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from ..train.state import digest
from .train import SIGMA_SHIFT

RANK = 16


@dataclass(frozen=True)
class RegionalLesson:
    """Posters of as many shapes in each batch."""

    recipe: Recipe = Recipe(steps=900, batch=24, lr=1e-3, decay_from=0.3, ema=0.99)
    first: int = 0
    regions: bool = True  # False: the prompt of the whole alone

    def poster(self, number: int) -> Crowded:
        count = random.Random(f"{self.first} {number // self.recipe.batch}").choice((2, 3, 3, 4, 4))
        return crowded(self.first + number, count)


LESSON = RegionalLesson()
WHOLE = RegionalLesson(regions=False)


@torch.no_grad()
def branch_of(pipe: QwenImage, posters: list[Crowded], rows: int, cols: int) -> Branch:
    """What conditions a batch: texts of all boxes, then the whole prompts, and who sees whom"""
    grid, count = (1, rows, cols), len(posters[0].regions)
    prompts = [
        [poster.regions[i][0] for poster in posters] for i in range(count)
    ] + [[poster.prompt for poster in posters]]  # fmt: skip
    encoded = pipe.encode_prompts(prompts)
    lengths = [each.txt.shape[1] for each in encoded]
    everywhere = torch.ones(1, rows * cols, dtype=torch.bool)
    masks = [
        attention_mask(lengths, torch.cat([_seen(poster, grid), everywhere])) for poster in posters
    ]
    real = [
        torch.ones(each.txt.shape[:2], dtype=torch.bool) if each.txt_mask is None else each.txt_mask
        for each in encoded
    ]
    return Branch(
        torch.cat([each.txt for each in encoded], dim=1),
        torch.cat(real, dim=1),
        mask=torch.cat(masks),
        txt_positions=text_positions([grid], lengths),
    )


def _seen(poster: Crowded, grid) -> torch.Tensor:
    return torch.stack([seen_tokens(mask, [grid]) for _, mask in poster.regions])


def train(pipe: QwenImage, folder: Path, lesson: RegionalLesson = LESSON, **fit) -> lora.LoRA:
    """Train a LoRA on the pipeline's frozen MMDiT -> the LoRA, with averaged weights, on it"""
    recipe, mmdit = lesson.recipe, pipe.transformer
    origin = f"{digest(pipe.vae)} {digest(mmdit)} {lesson!r}"
    adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], RANK, seed=recipe.seed)
    run = Run(adapter, recipe, folder, origin=origin)

    def loss_at(step):
        rng, count = recipe.generator(step), recipe.batch
        posters = [lesson.poster(n) for n in range(step * count, (step + 1) * count)]
        with torch.no_grad():
            img = to_input([paint(poster.placed) for poster in posters])
            latents = pipe.vae.normalize(pipe.vae.encode(img)[0])
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        if lesson.regions:
            branch = branch_of(pipe, posters, rows, cols)
        else:
            (branch,) = pipe.encode_prompts([[poster.prompt for poster in posters]])
        noise = torch.randn(latents.shape, generator=rng)
        sigma = sample_sigma(count, SIGMA_SHIFT, rng)
        level = sigma.view(-1, 1, 1, 1)
        noisy = pack((1 - level) * latents + level * noise)
        with mixed():
            velocity = mmdit(*branch.call(noisy, sigma, (1, rows, cols)))
        return (velocity.float() - pack(noise - latents)).square().mean()

    run.fit(loss_at, **fit)
    run.use_average()
    return adapter.requires_grad_(False)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.regional")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "regional", metavar="FOLDER")
    parser.add_argument("--whole", action="store_true", help="without regions")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default RUNS/NAME.safetensors")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.base)
    name, lesson = ("whole", WHOLE) if options.whole else ("eligen", LESSON)
    train(pipe, options.runs / name, lesson).to(torch.bfloat16)
    lora.save(pipe.transformer, options.to or options.runs / f"{name}.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
