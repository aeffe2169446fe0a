"""Few steps by imitation: a student without guidance learns where its teacher's path leads.

Direct distillation: the path from noise to picture is deterministic, so noise and prompt have one
right result, the teacher's, and the student's few steps learn to end there. The gradient runs
through all of them. The noise must be the teacher's own, to the bit, drawn from the seed that was
stored: with any other, all results are equally right, and their mean is what is learned.

Trajectory imitation: each of the student's steps begins at a state of the teacher's path and learns
the mean velocity to the next. Nothing is stored, and each step's gradient stands alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt.lora import LoRA
from ..config import SchedulerConfig
from ..pictures import open_picture
from ..pipeline import QwenImage
from ..sampler import draw, euler_step, generators, pack, sigmas
from .captions import DataError
from .dataset import Example, bucket, encode
from .flow import TRAINING_GRID, guided_velocity
from .full import train_whole
from .loop import Recipe, Run
from .lora import (
    Adapter,
    Batches,
    Choices,
    demand,
    demand_known,
    origin_of,
    padded,
    train_adapter,
)
from .prompts import Prompt, Prompts
from .run_folder import RunFolder

SCHEDULES = {  # noise levels of few steps
    "Lightning": SchedulerConfig.lightning(),  # a shift of 3 at every size, 1 to 0
    "DiffSynth": TRAINING_GRID,  # direct distillation: e^0.8, stretched to end at 0.02
}


@dataclass(frozen=True)
class Taught:
    """A picture of the teacher's, and the seed of the noise that it began with."""

    latents: torch.Tensor  # (C, h, w), normalised
    txt: torch.Tensor  # (T, Dt)
    seed: int


@dataclass(frozen=True)
class FewSteps(Choices):
    """What direct distillation chooses."""

    steps: int = 4
    schedule: str = "Lightning"  # a key of SCHEDULES
    accumulate: int = 1  # batches whose gradients are averaged into one step

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("accumulate",), lambda value: value >= 1, "at least 1")
        demand_known(self, {"schedule": SCHEDULES})
        try:
            self.levels(1)
        except ValueError:
            least = 2 if SCHEDULES[self.schedule].shift_terminal else 1
            demand(self, ("steps",), lambda value: False, f"from {least} to 1000")

    def levels(self, image_tokens: int) -> torch.Tensor:
        """(steps + 1,) noise levels of the student"""
        return sigmas(self.steps, image_tokens, SCHEDULES[self.schedule])


@dataclass(frozen=True)
class Imitation(FewSteps, Adapter):
    """What trajectory imitation chooses. The teacher is the network with its LoRA off."""

    between: int = 5  # the teacher's steps for one of the student's
    guidance: float = 4.0  # the teacher's

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("between",), lambda value: value >= 1, "at least 1")
        demand(self, ("guidance",), math.isfinite, "finite")


def rollout(mmdit, noise, txt, levels, txt_mask=None):
    """(B, C, h, w), (B, T, Dt) -> (B, I, 4C): packed latents at levels[-1], one step per level"""
    grids = [(1, noise.shape[2] // 2, noise.shape[3] // 2)]
    x = pack(noise)
    for sigma, sigma_next in zip(levels, levels[1:]):
        # careful: x is float32 from the first step on, the network may have 16 bits
        now = x.to(noise.dtype)
        velocity = mmdit(now, txt, sigma.to(x.device).expand(len(x)), grids, txt_mask)
        x = euler_step(x, velocity.float(), sigma, sigma_next)
    return x


def distill_loss(mmdit, noise, target, txt, levels, txt_mask=None):
    """(B, C, h, w), (B, C, h, w), (B, T, Dt) -> () mean squared distance from the teacher's end"""
    end = rollout(mmdit, noise, txt, levels, txt_mask)
    return (end.float() - pack(target).float()).pow(2).mean()


# -- direct distillation


def encode_taught(
    pipe: QwenImage, rows: list[dict], folder: RunFolder, max_pixels: int, weights: str = ""
) -> list[Taught]:
    """Rows of a table of tables.TAUGHT -> each as training needs it, kept as dataset.encode does

    Raises DataError for a picture that would be shrunk: its noise is that of its own size.
    """
    pictures = [Example(row["image"], row["prompt"]) for row in rows]
    for example in pictures:
        size = open_picture(example.picture).size
        if bucket(*size, max_pixels) != size:
            raise DataError(
                f"{example.picture} must keep the size that it was painted in, got {size[0]}x"
                f"{size[1]}, which is no multiple of 16 or larger than --max-pixels {max_pixels}"
            )
    encoded, _ = encode(pipe, pictures, folder, max_pixels, weights)
    return [Taught(one.latents, one.txt, row["seed"]) for one, row in zip(encoded, rows)]


def noise_of(taught: Taught, dtype: torch.dtype) -> torch.Tensor:
    """The noise that the teacher began with, (1, C, h, w): drawn as the pipeline draws it"""
    return draw((1, *taught.latents.shape), generators(taught.seed, 1), dtype)


def loss_of(
    mmdit: nn.Module, taught: list[Taught], recipe: Recipe, settings: FewSteps
) -> Callable[[int], torch.Tensor]:
    """-> a function from the number of a batch to its loss, as Run.fit needs it"""
    batches = Batches([tuple(one.latents.shape) for one in taught], recipe.batch, recipe)
    base = mmdit.proj_out.weight

    def loss_at(number: int) -> torch.Tensor:
        chosen = [taught[i] for i in batches[number]]
        target = torch.stack([one.latents for one in chosen]).to(base)
        noise = torch.cat([noise_of(one, base.dtype) for one in chosen]).to(base.device)
        txt, mask = padded([one.txt for one in chosen])
        mask = None if mask is None else mask.to(base.device)
        levels = settings.levels(target.shape[2] * target.shape[3] // 4)
        return distill_loss(mmdit, noise, target, txt.to(base), levels, mask)

    return loss_at


def train(
    mmdit: nn.Module,
    taught: list[Taught],
    recipe: Recipe,
    settings: FewSteps,
    folder: str | Path | RunFolder,
    adapter: Adapter | None,
    origin: str = "",
    **fit,
) -> Run:
    """Distil into a new adapter, or with None into every weight -> the finished run"""
    origin = origin_of(taught, origin)
    loss_at, fit = (
        loss_of(mmdit, taught, recipe, settings),
        {"accumulate": settings.accumulate} | fit,
    )
    if adapter is None:
        return train_whole(mmdit, loss_at, recipe, settings, folder, origin, **fit)
    return train_adapter(mmdit, lambda _: loss_at, recipe, adapter, folder, origin, settings, **fit)


# -- trajectory imitation


def teacher_states(velocity: Callable, x, levels, between: int) -> list[torch.Tensor]:
    """States of a path at each of `levels`, from `between` Euler steps from one to the next

    x: packed noise, (B, I, 4C). velocity(x, sigma) -> (B, I, 4C).
    """
    states = [x]
    for start, end in zip(levels, levels[1:]):
        fine = torch.linspace(start.item(), end.item(), between + 1)
        for sigma, sigma_next in zip(fine, fine[1:]):
            x = euler_step(x, velocity(x, sigma), sigma, sigma_next)
        states.append(x)
    return states


def imitation_loss(mmdit, states: list[torch.Tensor], txt, levels, grid, txt_mask=None):
    """Squared error of the student's velocity at each state against the mean one to the next."""
    errors = []
    for x, x_next, sigma, sigma_next in zip(states, states[1:], levels, levels[1:]):
        velocity = mmdit(x, txt, sigma.to(x.device).expand(len(x)), [grid], txt_mask)
        wanted = (x_next.float() - x.float()) / (sigma_next - sigma)
        errors.append((velocity.float() - wanted).pow(2).mean())
    return torch.stack(errors).mean()


def imitation_of(
    mmdit: nn.Module, adapter: LoRA, prompts: Prompts, settings: Imitation
) -> Callable[[int], torch.Tensor]:
    """-> a function from the number of a batch to its loss, as Run.fit needs it"""
    levels = settings.levels(prompts.grid[1] * prompts.grid[2])

    def loss_at(number: int) -> torch.Tensor:
        noise, txt, mask = prompts.batch(number)

        def velocity(x, sigma):
            return guided_velocity(
                mmdit, x, txt, mask, prompts.empty, sigma.to(x.device), prompts.grid,
                settings.guidance,
            )  # fmt: skip

        with torch.no_grad(), adapter.off():
            states = teacher_states(velocity, pack(noise), levels, settings.between)
        return imitation_loss(mmdit, states, txt, levels, prompts.grid, mask)

    return loss_at


def train_imitation(
    mmdit: nn.Module,
    prompts: list[Prompt],
    empty: torch.Tensor,
    shape: tuple[int, int, int],
    recipe: Recipe,
    settings: Imitation,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new adapter by trajectory imitation -> the finished run; see lora.train_adapter"""
    drawn = Prompts(prompts, empty, shape, recipe, mmdit.proj_out.weight)
    return train_adapter(
        mmdit,
        lambda adapter: imitation_of(mmdit, adapter, drawn, settings),
        recipe, settings, folder, origin_of(prompts, origin, shape),
        accumulate=settings.accumulate, **fit,
    )  # fmt: skip
