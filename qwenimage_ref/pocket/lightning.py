"""A pocket Lightning: a LoRA with which four unguided steps paint what twenty guided ones paint.

python -m qwenimage_ref.pocket.lightning     the teacher's pictures, the training, data/lora

The command resumes where it was stopped; its states are in runs/lightning.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from ..adapt import lora
from ..config import SchedulerConfig
from ..pipeline import QwenImage
from ..repository import ROOT, in_a_clone
from ..sampler import sigmas
from ..train.distill import distill_loss
from ..train.loop import Recipe, Run
from ..train.precision import mixed
from .curriculum import PHASES, Phase
from .kept import Chunks
from .train import digest

FILE = ROOT / "data" / "lora" / "lightning_4_steps.safetensors"
TEACHER_STEPS, GUIDANCE, STEPS = 20, 4.0, 4
RANK, ALPHA = 16, 16.0
CHUNK = 64  # pictures of the teacher that are painted and stored together, all of one size


@dataclasses.dataclass(frozen=True)
class Distillation:
    """What the student is trained on: each caption and its noise, painted once by the teacher."""

    recipe: Recipe
    posters: int
    lesson: Phase


DISTILLATION = Distillation(
    Recipe(steps=400, batch=16, lr=2e-3, warmup=20, decay_from=0.3, ema=0.98),
    posters=2048,
    lesson=PHASES["everything"],
)


def student_levels() -> torch.Tensor:
    """-> (5,) the noise levels of the student at every size: 1, 0.9, 0.75, 0.5, 0"""
    return sigmas(STEPS, 64, SchedulerConfig.lightning())


class Teacher:
    """The pocket model with guidance; its pictures, of one size a chunk, are the student's aim."""

    def __init__(self, pipe: QwenImage, lesson: Phase):
        self.pipe, self.lesson = pipe, lesson

    @torch.no_grad()
    def chunk(self, i: int) -> dict[str, torch.Tensor]:
        """-> "noise" and "latents", (CHUNK, C, h, w) each"""
        numbers = list(range(i * CHUNK, (i + 1) * CHUNK))
        width, height = self.lesson.size(numbers[0])
        noise = self.pipe.noise(CHUNK, height, width, seed=numbers)
        return {"noise": noise, "latents": self.paint(noise, prompts_of(self.lesson, numbers))}

    def paint(self, noise, prompts: list[str]) -> torch.Tensor:
        """In bfloat16 it is off by 0.009 rms, the student at first by 0.19"""
        tokens = noise[0, 0].numel() // 4
        levels = sigmas(TEACHER_STEPS, tokens, self.pipe.scheduler)
        encoded = self.pipe.encode_prompts([prompts, [" "] * len(prompts)])
        with mixed():
            return self.pipe.denoise(noise, levels, *encoded, true_cfg_scale=GUIDANCE)


def prompts_of(lesson: Phase, numbers: list[int]) -> list[str]:
    return [lesson.prompt(number) for number in numbers]


def train(pipe: QwenImage, distillation: Distillation, folder: Path, quiet: bool = False):
    """-> the trained adapter on pipe.transformer, with its averaged weights"""
    recipe = distillation.recipe
    weights = digest(pipe.transformer)  # pictures of other weights are no use for these
    lesson = distillation.lesson
    painted = Chunks(folder / f"teacher-{weights}", Teacher(pipe, lesson).chunk)
    for i in tqdm(range(distillation.posters // CHUNK), unit="chunk", disable=quiet):
        painted[i]
    mmdit, levels = pipe.transformer, student_levels()
    adapter = lora.inject(mmdit, lora.TARGETS["Lightning"], RANK, ALPHA, recipe.seed)
    origin = f"{weights}, {distillation.posters} of {lesson}"
    run = Run(adapter, recipe, folder, origin=origin)

    def loss_at(step):
        # careful: pictures of one chunk, whose noise and latents lie together
        rng = recipe.generator(step)
        i = int(torch.randint(distillation.posters // CHUNK, (), generator=rng))
        places = torch.randperm(CHUNK, generator=rng)[: recipe.batch]
        drawn = {name: tensor[places] for name, tensor in painted[i].items()}
        prompts = prompts_of(lesson, [i * CHUNK + int(place) for place in places])
        with torch.no_grad():
            txt, mask = pipe.encode_prompt(prompts)
        with mixed():
            return distill_loss(mmdit, drawn["noise"], drawn["latents"], txt, levels, mask)

    run.fit(loss_at, quiet=quiet)
    run.use_average()
    return adapter.requires_grad_(False)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.lightning")
    parser.add_argument("--runs", type=Path, default=Path("runs/lightning"), help="states")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(ROOT / "data" / "pocket")
    adapter = train(pipe, DISTILLATION, options.runs)
    adapter.to(torch.bfloat16)
    FILE.parent.mkdir(exist_ok=True)
    lora.save(pipe.transformer, FILE)
    print(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
