"""Students that paint in one step, distilled from the pocket model in three ways.

    python -m qwenimage_ref.pocket.students NAME     one of STUDENTS; resumes

`distill` imitates the teacher's pictures, noise by noise. `dmd2` paints pictures that are
distributed as the teacher's; `dmd2-judged` has a judge of real posters besides. All see the same
captions in as many optimiser steps; of DMD2's the student takes one in five, the fake the others.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from ..adapt import lora
from ..pipeline import QwenImage
from ..posters.scene import SQUARE, Mixture
from ..repository import POCKET, ROOT, in_a_clone
from ..train import distill, dmd2
from ..train.dataset import Encoded
from ..train.loop import Recipe
from ..train.lora import Adapter
from ..train.precision import mixed
from ..train.prompts import Prompt
from ..train.state import digest
from . import lightning
from .curriculum import Phase
from .kept import Chunks
from .train import Latents

RANK, TARGETS = 32, "Lightning"
LESSON = Phase(
    Recipe(steps=800, batch=16, lr=1e-3, warmup=20, decay_from=0.5, ema=0.98),
    6_000_000,
    posters=1024,
    mixture=Mixture(sizes=(SQUARE,), words=0.6),
)


@dataclass
class Class:
    """Everything that any of the students is taught with"""

    pipe: QwenImage
    lesson: Phase
    folder: Path

    @torch.no_grad()
    def prompts(self) -> list[Prompt]:
        texts = [self.lesson.prompt(number) for number in range(self.lesson.posters)]
        return [Prompt(text, self.pipe.encode_prompt([text])[0][0]) for text in texts]

    @torch.no_grad()
    def empty(self) -> torch.Tensor:
        return self.pipe.encode_prompt([" "])[0][0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of the latents of all pictures"""
        return tuple(self.pipe.noise(1, *self.lesson.size(0)[::-1], seed=0).shape[1:])

    def taught(self, quiet: bool = False) -> list[distill.Taught]:
        """The teacher's pictures, each with the seed of its noise"""
        teacher = lightning.Teacher(self.pipe, self.lesson)
        folder = self.folder / f"teacher-{digest(self.pipe.transformer)}"
        chunks = Chunks(folder, teacher.chunk)
        count = self.lesson.posters // lightning.CHUNK
        bar = tqdm(range(count), unit="chunk", desc="teacher", disable=quiet)
        painted = torch.cat([chunks[i]["latents"] for i in bar])
        return [
            distill.Taught(latents, prompt.txt, seed)
            for seed, (latents, prompt) in enumerate(zip(painted, self.prompts()))
        ]

    def real(self) -> list[Encoded]:
        """The posters themselves, with their captions"""
        vae = self.pipe.vae
        latents = Latents(vae, self.lesson, self.folder / f"latents-{digest(vae)}")
        every = latents[list(range(self.lesson.posters))]
        return [Encoded(each, prompt.txt) for each, prompt in zip(every, self.prompts())]


def _distilled(given: Class, folder: Path, **fit) -> lora.LoRA:
    run = distill.train(
        given.pipe.transformer, given.taught(fit.get("quiet", False)), given.lesson.recipe,
        distill.FewSteps(steps=1), folder, Adapter(rank=RANK, alpha=RANK, targets=TARGETS),
        origin_of(given), **fit,
    )  # fmt: skip
    run.use_average()
    return run.model


def _matched(adversarial: float) -> Callable:
    def trained(given: Class, folder: Path, **fit) -> lora.LoRA:
        settings = dmd2.Matching(
            rank=RANK,
            alpha=RANK,
            targets=TARGETS,
            guidance=lightning.GUIDANCE,
            adversarial=adversarial,
        )
        run = dmd2.train(
            given.pipe.transformer, given.prompts(), given.empty(), given.shape,
            given.lesson.recipe, settings, folder, origin_of(given),
            real=given.real() if adversarial else (), **fit,
        )  # fmt: skip
        run.use_average()
        return run.model["student"]

    return trained


STUDENTS: dict[str, Callable] = {
    "distill": _distilled,
    "dmd2": _matched(0.0),
    "dmd2-judged": _matched(0.005),
}


def origin_of(given: Class) -> str:
    """What a run depends on besides its recipe"""
    return f"{digest(given.pipe.transformer)} {given.lesson!r}"


def train(pipe: QwenImage, name: str, folder: Path, lesson: Phase = LESSON, **fit) -> lora.LoRA:
    """Train one student -> its adapter on the pipeline's MMDiT, with averaged weights"""
    pipe.transformer.requires_grad_(False)
    with mixed():
        return STUDENTS[name](Class(pipe, lesson, folder), folder / name, **fit)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.students")
    parser.add_argument("name", choices=STUDENTS)
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "students", metavar="FOLDER")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default RUNS/NAME.safetensors")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.base)
    train(pipe, options.name, options.runs).to(torch.bfloat16)
    lora.save(pipe.transformer, options.to or options.runs / f"{options.name}.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
