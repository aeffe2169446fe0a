"""Distribution matching on a plane: a student of one step, its fake, and a judge of real points.

`pulls` and `ends` are the same on the latents of posters.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ...config import SchedulerConfig
from ...sampler import pack, sigmas, unpack
from ...train.adversary import fooling_loss, judge_loss
from ...train.flow import guided_velocity
from .flow_on_a_plane import STAR, Field, distance, exact_velocity, star

EVERY = 5  # cycle of steps: the student takes the last, the fake the others
BATCH = 256  # points a step


def asked(field: nn.Module) -> Callable:
    """A field -> the function of (x, sigma) that says the star's velocity, with its gradient"""

    def velocity(x, sigma):
        return field(x, sigma.expand(len(x), 1)[:, 0], torch.full((len(x),), STAR))

    return velocity


def one_step(field: nn.Module, noise):
    """(N, 2) -> (N, 2): where one Euler step from level 1 to 0 ends"""
    return noise - asked(field)(noise, torch.ones(len(noise), 1))


class PlaneJudge(nn.Module):
    """(N, 2), (N, 1) -> (N,) above 0 where a point under noise is called real"""

    def __init__(self, width: int = 64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, x, sigma):
        return self.net(torch.cat([x, sigma], dim=1))[:, 0]


def too_small(x, sigma):
    """(N, 2), (N, 1) -> (N, 2): the exact velocity of a teacher whose star has 0.7 of the size"""
    return exact_velocity(x, sigma[..., None], 0.7 * star(200, torch.Generator().manual_seed(4)))


def under_noise(points, generator: torch.Generator, most: float = 0.98):
    """(N, 2) -> x, sigma (N, 1), the noise in x: as fake, teacher and judge look at points"""
    sigma = 0.02 + (most - 0.02) * torch.rand(len(points), 1, generator=generator)
    e = torch.randn(points.shape, generator=generator)
    return (1 - sigma) * points + sigma * e, sigma, e


def match(
    field: Field,
    teacher: Callable,
    loss: Callable,
    steps: int,
    generator: torch.Generator,
    judge: PlaneJudge | None = None,
    weight: float = 4.0,
) -> Field:
    """A copy of the field that learns, in its one step, to paint what the teacher paints.

    teacher(x, sigma): a velocity. loss(student, fake, teacher, noise, e, sigma) -> (): the
    student's, in every fifth step; in the others the fake learns what the student paints. judge:
    learns beside the fake, of real points of the star; its slope counts `weight` times.
    """
    student, fake = copy.deepcopy(field), copy.deepcopy(field)
    with_fake = [*fake.parameters(), *(judge.parameters() if judge else ())]
    of_student, of_fake = (
        torch.optim.Adam(weights, 2e-3, betas=(0.5, 0.9))
        for weights in (student.parameters(), with_fake)
    )
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(of_student, steps // EVERY)
    for step in range(steps):
        noise = torch.randn(BATCH, 2, generator=generator)
        if step % EVERY == EVERY - 1:
            _, sigma, e = under_noise(noise, generator)
            total = loss(asked(student), asked(fake), teacher, noise, e, sigma)
            if judge:
                x, level, _ = under_noise(one_step(student, noise), generator, most=0.5)
                total = total + weight * fooling_loss(judge(x, level))
            _descend(of_student, total)
            falling.step()
        else:
            with torch.no_grad():
                points = one_step(student, noise)
            _descend(of_fake, _fake_loss(fake, judge, points, generator))
    return student


def _fake_loss(fake: Field, judge: PlaneJudge | None, points, generator: torch.Generator):
    x, sigma, e = under_noise(points, generator)
    loss = (asked(fake)(x, sigma) - (e - points)).pow(2).mean()
    if judge is None:
        return loss
    seen, level, _ = under_noise(points, generator, most=0.5)
    real, real_level, _ = under_noise(star(len(points), generator), generator, most=0.5)
    return loss + judge_loss(judge(real, real_level), judge(seen, level))


def _descend(optimizer, loss) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class Fit(NamedTuple):
    """How well points (N, 2) cover a shape (M, 2): mean distances, there and back."""

    off: float  # distance of a point from the shape
    left_out: float  # distance of a place of the shape from the points


def fit(points, shape) -> Fit:
    """(N, 2), (M, 2) -> how well the points cover the shape"""
    return Fit(distance(points, shape), distance(shape, points))


# ---- posters


@torch.no_grad()
def ends(pipe, prompt: str, count: int, steps: int = 4):
    """-> (count, C, h, w) latents of one prompt and as many noises, unguided"""
    noise = pipe.noise(count, 128, 128, seed=[*range(count)])
    levels = sigmas(steps, noise.shape[2] * noise.shape[3] // 4, SchedulerConfig.lightning())
    (branch,) = pipe.encode_prompts([[prompt] * count])
    return pipe.denoise(noise, levels, branch)


class Pulls(NamedTuple):
    """One poster in one step, and what it is compared with; latents (1, C, h, w)."""

    picture: torch.Tensor
    fake: torch.Tensor  # the clean picture that an unguided network expects behind the noise
    teacher: torch.Tensor  # estimate with guidance
    guidance: torch.Tensor  # velocity with guidance less velocity without it


@torch.no_grad()
def pulls(pipe, prompt: str, sigma: float, guidance: float = 4.0, seed: int = 0) -> Pulls:
    """What pulls at a student that is still its own teacher without guidance"""
    mmdit, noise = pipe.transformer, pipe.noise(1, 128, 128, seed=seed)
    grid, level = (1, noise.shape[2] // 2, noise.shape[3] // 2), torch.tensor([sigma])
    txt, mask = pipe.encode_prompt([prompt])
    empty, _ = pipe.encode_prompt([" "])
    start = mmdit(pack(noise), txt, torch.ones(1), [grid], mask)
    picture = pack(noise) - start
    x = (1 - sigma) * picture + sigma * pack(pipe.noise(1, 128, 128, seed=seed + 1))
    plain, guided = (
        guided_velocity(mmdit, x, txt, mask, empty[0], level, grid, scale)
        for scale in (1.0, guidance)
    )
    packed = (picture, x - sigma * plain, x - sigma * guided, guided - plain)
    return Pulls(*(unpack(each, *grid[1:]) for each in packed))
