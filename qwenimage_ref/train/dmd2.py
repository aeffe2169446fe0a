"""Distribution matching (DMD2): few steps whose pictures are distributed as the teacher's.

No picture of the teacher's is imitated. Wherever the student's picture lies, under some noise, two
networks say where pictures are more frequent: the teacher, of its own, and a third network, the
fake, of the student's. Their difference is the gradient:

    x = the student's picture, under noise at sigma
    g = (x0_fake(x) - x0_teacher(x)) / mean |picture - x0_teacher(x)|
    loss = 1/2 |picture - stop(picture - g)|^2

The fake learns the student's pictures by flow matching, in four of five steps, so that it keeps up.
All three are one network: the teacher with no adapter, guided; the student and the fake with one
each. With real pictures there is an adversarial term besides (adversary.py).

Source: arXiv 2405.14867.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt import lora
from ..sampler import pack, unpack
from .adversary import Judge, RealPictures, Watched, fooling_loss, judge_loss
from .dataset import Encoded
from .distill import FewSteps, rollout
from .flow import flow_step, guided_velocity
from .loop import Recipe, Run
from .lora import Adapter, demand, origin_of
from .prompts import Prompt, Prompts
from .run_folder import RunFolder

LEAST, LARGEST = 0.001, 0.999  # sigmas at which distributions are compared


@dataclass(frozen=True)
class Matching(FewSteps, Adapter):
    """What DMD2 chooses."""

    steps: int = 1
    guidance: float = 4.0  # the teacher's
    every: int = 5  # cycle of steps: the student takes the last, the fake the others
    adversarial: float = 0.0  # weight of the adversarial term, which needs real pictures

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("adversarial",), lambda value: 0 <= value < math.inf, "finite and at least 0")
        demand(self, ("every",), lambda value: value >= 2, "at least 2")
        demand(self, ("guidance",), math.isfinite, "finite")


def matching_loss(picture, fake, teacher):
    """(B, I, D), (B, I, D), (B, I, D) -> (): its gradient by the picture is along fake - teacher

    fake, teacher: the clean pictures that each expects behind the noise.
    """
    scale = (picture - teacher).abs().mean((1, 2), keepdim=True).detach()
    target = (picture - (fake - teacher) / scale).detach()
    return (picture - target).pow(2).mean() / 2


def with_slope(loss, picture, slope):
    """(), (B, I, D), (B, I, D) -> (): that loss, whose gradient by the picture is `slope`"""
    return loss + ((picture - picture.detach()) * slope).sum()


class Players:
    """From the number of a batch to its loss: the student's every few steps, else the fake's."""

    def __init__(
        self,
        mmdit: nn.Module,
        student: lora.LoRA,
        fake: lora.LoRA,
        prompts: Prompts,
        settings: Matching,
        judge: Judge | None = None,
        real: RealPictures | None = None,
    ):
        self.mmdit, self.student, self.fake = mmdit, student, fake
        self.prompts, self.settings, self.grid = prompts, settings, prompts.grid
        self.judge, self.real, self.watched = judge, real, Watched(mmdit)
        self.levels = settings.levels(self.grid[1] * self.grid[2])

    def __call__(self, number: int) -> tuple[torch.Tensor, dict]:
        noise, txt, mask = self.prompts.batch(number)
        rng = self.prompts.recipe.generator(number, "compared")
        sigma, e = self._noised(noise, rng)
        step = number // self.settings.accumulate
        if step % self.settings.every == self.settings.every - 1:
            return self.student_loss(noise, txt, mask, sigma, e)
        loss, numbers = self.fake_loss(noise, txt, mask, sigma, e)
        if self.judge is None:
            return loss, numbers
        judged = judge_loss(self._judged_real(number, rng), self.judge(self.watched.tokens))
        return loss + self.settings.adversarial * judged, numbers | {"judge_loss": judged.item()}

    @staticmethod
    def _noised(like, rng: torch.Generator):
        """Noise levels at which pictures are compared, (B,), and noise of their shape"""
        sigma = LEAST + (LARGEST - LEAST) * torch.rand(len(like), generator=rng)
        return sigma.to(like.device), torch.randn(like.shape, generator=rng).to(like)

    # careful: each leaves the adapters as its backward pass needs them where blocks run again

    def act(self, student: bool) -> None:
        """Let the network be the student, or the fake."""
        self.student.scale, self.fake.scale = float(student), float(not student)

    def student_loss(self, noise, txt, mask, sigma, e) -> tuple[torch.Tensor, dict]:
        self.act(student=True)
        picture = rollout(self.mmdit, noise, txt, self.levels, mask).float()
        given = picture.detach().requires_grad_(self.judge is not None)
        level = sigma.view(-1, 1, 1)
        x = ((1 - level) * given + level * pack(e)).to(noise.dtype)
        self.act(student=False)
        with torch.set_grad_enabled(self.judge is not None):
            fake = self.watched(x, txt, sigma, [self.grid], mask)
            # careful: now, while a block that runs again is the fake's; the student's come later
            fooling, slope = self._fooling(given)
        with torch.no_grad(), self.fake.off():
            teacher = guided_velocity(
                self.mmdit, x, txt, mask, self.prompts.empty, sigma, self.grid,
                self.settings.guidance,
            )  # fmt: skip
        self.act(student=True)
        expected = ((x.float() - level * v.float()).detach() for v in (fake, teacher))
        loss = matching_loss(picture, *expected)
        numbers = {"student_loss": loss.item()}
        if self.judge is None:
            return loss, numbers
        numbers["fooling_loss"] = fooling.item()
        return loss + self.settings.adversarial * with_slope(fooling, picture, slope), numbers

    def _fooling(self, given):
        """-> the judge's loss of the fake's latest call, and its gradient by the picture `given`"""
        if self.judge is None:
            return None, None
        loss = fooling_loss(self.judge(self.watched.tokens))
        return loss.detach(), torch.autograd.grad(loss, given)[0]

    def fake_loss(self, noise, txt, mask, sigma, e) -> tuple[torch.Tensor, dict]:
        self.act(student=True)
        with torch.no_grad():
            picture = rollout(self.mmdit, noise, txt, self.levels, mask).to(noise.dtype)
        self.act(student=False)
        loss = flow_step(self.watched, unpack(picture, *self.grid[1:]), e, sigma, txt, mask)
        return loss, {"fake_loss": loss.item()}

    def _judged_real(self, number: int, rng: torch.Generator):
        """The judge's logits of a batch of real pictures under noise, (B,)"""
        latents, txt, mask = self.real.batch(number)
        sigma, e = self._noised(latents, rng)
        level = sigma.view(-1, 1, 1, 1).to(latents.dtype)
        watched = Watched(self.mmdit)
        watched(pack((1 - level) * latents + level * e), txt, sigma, [self.grid], mask)
        return self.judge(watched.tokens)


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
    real: list[Encoded] = (),
    **fit,
) -> Run:
    """Train two new adapters by DMD2 -> the finished run, whose model["student"] is the result

    The student is left on and the fake taken off. shape: (C, h, w) of the latents. real: pictures
    for the adversarial term, used where its weight is above 0; raises ValueError where it is and
    there are none.
    """
    like = mmdit.proj_out.weight
    judged = settings.adversarial > 0
    pictures = RealPictures(list(real), shape, recipe, like) if judged else None
    patterns, size = lora.TARGETS[settings.targets], (settings.rank, settings.alpha)
    student = lora.inject(mmdit, patterns, *size, recipe.seed)
    fake = lora.inject(mmdit, patterns, *size, recipe.seed + 1)
    trained = {"student": student, "fake": fake}
    if judged:
        trained["judge"] = Judge(mmdit.config.inner_dim, recipe.seed).to(like.device)
    drawn = Prompts(prompts, empty, shape, recipe, like)
    players = Players(mmdit, student, fake, drawn, settings, trained.get("judge"), pictures)
    origin = origin_of(prompts, origin, shape, list(real))
    run = Run(nn.ModuleDict(trained), recipe, folder, origin=origin, settings=asdict(settings))

    def measured() -> dict:
        players.act(student=True)
        return measure()

    fit = {"accumulate": settings.accumulate, "measure": measure and measured} | fit
    run.fit(players, **fit)
    players.act(student=True)
    fake.remove()
    return run
