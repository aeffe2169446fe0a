"""Distribution matching (DMD2): few steps whose pictures are distributed as the teacher's.

No picture of the teacher's is imitated. Wherever the student's picture lies, under some noise, two
networks say where pictures are more frequent: the teacher, of its own, and a third network, the
fake, of the student's. Their difference is the gradient:

    x = the student's picture, under noise at sigma
    g = (x0_fake(x) - x0_teacher(x)) / mean |picture - x0_teacher(x)|
    loss = 1/2 |picture - stop(picture - g)|^2

The fake learns the student's pictures by flow matching, in four of five steps, so that it keeps up.
All three are one network: the teacher with no adapter, guided; the student and the fake with one
each. The adversarial term of the paper (arXiv 2405.14867) is left out.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt import lora
from ..sampler import pack, unpack
from .distill import FewSteps, rollout
from .flow import flow_step, guided_velocity
from .loop import Recipe, Run
from .lora import Adapter, demand
from .prompts import Prompt, Prompts
from .run_folder import RunFolder

LEAST, LARGEST = 0.001, 0.999  # sigmas at which distributions are compared


@dataclass(frozen=True)
class Matching(FewSteps, Adapter):
    """What DMD2 chooses."""

    steps: int = 1
    guidance: float = 4.0  # the teacher's
    every: int = 5  # cycle of steps: the student takes the last, the fake the others

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("every",), lambda value: value >= 2, "at least 2")
        demand(self, ("guidance",), math.isfinite, "finite")


def matching_loss(picture, fake, teacher):
    """(B, I, D), (B, I, D), (B, I, D) -> (): its gradient by the picture is along fake - teacher

    fake, teacher: the clean pictures that each expects behind the noise.
    """
    scale = (picture - teacher).abs().mean((1, 2), keepdim=True).detach()
    target = (picture - (fake - teacher) / scale).detach()
    return (picture - target).pow(2).mean() / 2


class Players:
    """From the number of a batch to its loss: the student's every few steps, else the fake's."""

    def __init__(
        self,
        mmdit: nn.Module,
        student: lora.LoRA,
        fake: lora.LoRA,
        prompts: Prompts,
        settings: Matching,
    ):
        self.mmdit, self.student, self.fake = mmdit, student, fake
        self.prompts, self.settings, self.grid = prompts, settings, prompts.grid
        self.levels = settings.levels(self.grid[1] * self.grid[2])

    def __call__(self, number: int) -> tuple[torch.Tensor, dict]:
        noise, txt, mask = self.prompts.batch(number)
        rng = self.prompts.recipe.generator(number, "compared")
        sigma = LEAST + (LARGEST - LEAST) * torch.rand(len(noise), generator=rng)
        sigma, e = sigma.to(noise.device), torch.randn(noise.shape, generator=rng).to(noise)
        step = number // self.settings.accumulate
        if step % self.settings.every == self.settings.every - 1:
            return self.student_loss(noise, txt, mask, sigma, e)
        return self.fake_loss(noise, txt, mask, sigma, e)

    # careful: each leaves the adapters as its backward pass needs them where blocks run again

    def act(self, student: bool) -> None:
        """Let the network be the student, or the fake."""
        self.student.scale, self.fake.scale = float(student), float(not student)

    def student_loss(self, noise, txt, mask, sigma, e) -> tuple[torch.Tensor, dict]:
        self.act(student=True)
        picture = rollout(self.mmdit, noise, txt, self.levels, mask).float()
        level = sigma.view(-1, 1, 1)
        x = ((1 - level) * picture.detach() + level * pack(e)).to(noise.dtype)
        with torch.no_grad(), self.student.off():
            teacher = guided_velocity(
                self.mmdit, x, txt, mask, self.prompts.empty, sigma, self.grid,
                self.settings.guidance,
            )  # fmt: skip
            self.fake.scale = 1.0
            fake = self.mmdit(x, txt, sigma, [self.grid], mask)
            self.fake.scale = 0.0
        expected = (x.float() - level * velocity.float() for velocity in (fake, teacher))
        loss = matching_loss(picture, *expected)
        return loss, {"student_loss": loss.item()}

    def fake_loss(self, noise, txt, mask, sigma, e) -> tuple[torch.Tensor, dict]:
        self.act(student=True)
        with torch.no_grad():
            picture = rollout(self.mmdit, noise, txt, self.levels, mask).to(noise.dtype)
        self.act(student=False)
        loss = flow_step(self.mmdit, unpack(picture, *self.grid[1:]), e, sigma, txt, mask)
        return loss, {"fake_loss": loss.item()}


def train(
    mmdit: nn.Module,
    prompts: list[Prompt],
    empty: torch.Tensor,
    shape: tuple[int, int, int],
    recipe: Recipe,
    settings: Matching,
    folder: str | Path | RunFolder,
    origin: str = "",
    measure=None,
    **fit,
) -> Run:
    """Train two new adapters by DMD2 -> the finished run, whose model["student"] is the result

    The student is left on and the fake taken off. shape: (C, h, w) of the latents.
    """
    patterns, size = lora.TARGETS[settings.targets], (settings.rank, settings.alpha)
    student = lora.inject(mmdit, patterns, *size, recipe.seed)
    fake = lora.inject(mmdit, patterns, *size, recipe.seed + 1)
    drawn = Prompts(prompts, empty, shape, recipe, mmdit.proj_out.weight)
    players = Players(mmdit, student, fake, drawn, settings)
    both = nn.ModuleDict({"student": student, "fake": fake})
    terms = {"origin": json.dumps([origin, shape]), "settings": asdict(settings)}
    run = Run(both, recipe, folder, **terms)

    def measured() -> dict:
        players.act(student=True)
        return measure()

    fit = {"accumulate": settings.accumulate, "measure": measure and measured} | fit
    run.fit(players, **fit)
    players.act(student=True)
    fake.remove()
    return run
