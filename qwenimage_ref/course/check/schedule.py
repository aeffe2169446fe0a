"""Chapter 08, parts of a sampler: the whole schedule, and a step."""

import math
from types import SimpleNamespace

import torch

from ..answers import EX_08_SIGMAS, EX_08_STEP, EX_08_STRETCH
from .common import exercise, need, need_all, need_none


def numbers(*shape, seed=8):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def near(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-5, atol=1e-6)


def kind_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# ---- the schedule


def _even(steps):
    return torch.linspace(1, 1 / steps, steps)


def _shifted(levels, shift):
    return shift / (shift + (1 / levels - 1))


def _ended(levels):
    return torch.cat([levels, torch.zeros(1)])


SCHEDULES = (  # wrong answers
    (
        lambda steps, mu, terminal: _ended(EX_08_STRETCH(_even(steps), terminal)),
        "the levels are stretched and not shifted",
    ),
    (
        lambda steps, mu, terminal: _ended(_shifted(_even(steps), math.exp(mu))),
        "the levels are shifted and not stretched: the last one before the 0 has to be `terminal`",
    ),
    (
        lambda steps, mu, terminal: _ended(
            _shifted(EX_08_STRETCH(_even(steps), terminal), math.exp(mu))
        ),
        "the levels are stretched first and shifted afterwards; the shift moves the last one again",
    ),
    (
        lambda steps, mu, terminal: _ended(EX_08_STRETCH(_shifted(_even(steps), mu), terminal)),
        "the shift is not mu itself; mu is its logarithm",
    ),
    (
        lambda steps, mu, terminal: _ended(
            EX_08_STRETCH(_shifted(_even(steps), math.exp(-mu)), terminal)
        ),
        "your shift leads towards the data; it has to lift the levels towards the noise",
    ),
    (
        lambda steps, mu, terminal: _ended(
            EX_08_STRETCH(
                _shifted(torch.linspace(1, 1 / (steps + 1), steps), math.exp(mu)), terminal
            )
        ),
        "the even levels are too close: the last of N is 1 / N, and the 0 comes behind it",
    ),
)
SCHEDULE = (  # what must hold of the levels
    (
        lambda seen: isinstance(seen.answer, torch.Tensor) and seen.answer.dim() == 1,
        "give the levels as one tensor, in a row",
    ),
    (
        lambda seen: len(seen.answer) != seen.steps or seen.answer[-1] == 0,
        lambda seen: f"{seen.steps} steps lie between {seen.steps + 1} levels; where is the 0?",
    ),
    (
        lambda seen: len(seen.answer) == seen.steps + 1,
        lambda seen: (
            f"{seen.steps} steps lie between {seen.steps + 1} levels, not {len(seen.answer)}"
        ),
    ),
    (
        lambda seen: bool(torch.isfinite(seen.answer).all()),
        "some levels are not finite; the 0 must neither be shifted nor stretched",
    ),
    (lambda seen: seen.answer[-1] == 0, "the last level has to be 0, or noise is left"),
)


@exercise
def ex_08_sigmas(my_sigmas) -> str:
    """my_sigmas(steps, mu, terminal): the levels of a whole schedule, within 1e-6."""
    for steps, mu, terminal in ((8, 0.83, 0.02), (20, 0.49, 0.1), (5, 1.3, 0.05), (50, 0.7, 0.02)):
        answer = my_sigmas(steps, mu, terminal)
        need_all(SimpleNamespace(answer=answer, steps=steps), SCHEDULE)
        need_none(answer, SCHEDULES, near, steps, mu, terminal)
        need(
            near(answer, EX_08_SIGMAS(steps, mu, terminal)),
            "the levels are not those of the official scheduler: space evenly, shift, stretch, and "
            "put a 0 behind them",
        )
    return "even, shifted, stretched, and down to 0"


# ---- a step

STEPS = (  # wrong answers
    (
        lambda x, velocity, sigma, sigma_next: x + (sigma - sigma_next) * velocity,
        "your step leads back to the noise: the velocity points from data to noise, and sigma "
        "falls",
    ),
    (
        lambda x, velocity, sigma, sigma_next: x - sigma * velocity,
        "that goes all the way to sigma 0 in one step; go from sigma to sigma_next",
    ),
    (
        lambda x, velocity, sigma, sigma_next: x + sigma_next * velocity,
        "the length of a step is the difference of the two levels",
    ),
    (
        lambda x, velocity, sigma, sigma_next: x + velocity,
        "the step is as long as the velocity; its length is the difference of the two levels",
    ),
)
ROUNDED = (  # the same for numbers in bfloat16
    (
        lambda x, velocity, sigma, sigma_next: (
            x.float() + (sigma_next - sigma) * velocity.float()
        ).bfloat16(),
        "for a velocity in bfloat16 the product is in bfloat16, too; yours is in float32",
    ),
)
ROUNDED_FIRST = (
    (
        lambda x, velocity, sigma, sigma_next: x.bfloat16() + (sigma_next - sigma) * velocity,
        "an x in float32 is rounded before the sum; round the sum",
    ),
)


def _bits(a, b) -> bool:
    return torch.equal(a.float(), b.float())


@exercise
def ex_08_step(my_step) -> str:
    """my_step(x, velocity, sigma, sigma_next): one Euler step, in float32 and in bfloat16."""
    full, half = torch.float32, torch.bfloat16
    for shape, x_kind, kind in (
        *(((2, 3, 5), full, full), ((1, 600, 8), half, half)),
        ((1, 500, 8), full, half),
    ):
        x, velocity = numbers(*shape).to(x_kind), 3 * numbers(*shape, seed=9).to(kind)
        for sigma, sigma_next in ((1.0, 0.94), (0.31, 0.02), (0.7, 0.0)):
            given = x, velocity, torch.tensor(sigma), torch.tensor(sigma_next)
            answer = my_step(*given)
            need(
                isinstance(answer, torch.Tensor) and answer.shape == x.shape,
                f"give a tensor of the shape of x, {tuple(x.shape)}",
            )
            if kind == full and sigma_next:  # a step to 0 is the whole way, which hides mistakes
                need_none(answer, STEPS, near, *given)
            need(
                answer.dtype == kind,
                f"a velocity in {kind_of(kind)} has to give a result in it; yours is in "
                f"{kind_of(answer.dtype)}",
            )
            if kind == half:
                need_none(answer, ROUNDED, _bits, *given)
                need_none(answer, ROUNDED_FIRST if x_kind == full else (), _bits, *given)
            same = near if kind == full else _bits
            need(
                same(answer, EX_08_STEP(*given)),
                "not the step from x along the velocity to sigma_next",
            )
    return "a step as long as the difference of the levels, and a sum that is rounded once"
