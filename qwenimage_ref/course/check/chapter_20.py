"""Chapter 20: few steps."""

import math
from functools import partial
from types import SimpleNamespace

import torch
from torch import nn

from ..answers import EX_20_LIGHTNING, EX_20_LOSS
from .common import exercise, need, need_all, need_none
from .through_steps import check_gradients


@exercise
def ex_20_lightning(levels) -> str:
    """levels(steps, shift=3) -> steps + 1 noise levels, within 1e-5."""
    for steps, shift in ((4, 3.0), (8, 3.0), (1, 3.0), (6, 2.0), (5, 1.0)):
        given = (steps,) if shift == 3 else (steps, shift)
        answer = levels(*given)
        if not isinstance(answer, torch.Tensor):
            answer = torch.tensor([float(level) for level in answer])
        right = EX_20_LIGHTNING(steps, shift)
        called = _name(steps, shift)
        need(
            len(answer) != steps,
            f"{called}: {steps} levels are the beginnings of {steps} steps; where does the last "
            "step end?",
        )
        need(
            len(answer) == steps + 1,
            f"{called}: there should be {steps + 1} levels, yours are {len(answer)}",
        )
        _name_the_mistake(answer.float(), right, steps, shift, called)
    return "the same levels at every size, down to 0"


def _name(steps: int, shift: float) -> str:
    return f"{steps} steps, shift {shift:g}"


def _stretched(steps: int, shift: float):
    """With the terminal stretch of the model's own schedule."""
    levels = EX_20_LIGHTNING(steps, shift)
    done = 1 - levels[:-1]
    return torch.cat([1 - done * 0.98 / done[-1], torch.zeros(1)])


def _spaced_to_one_more(steps: int, shift: float):
    """Shifted from levels of which the last is 1 / (steps + 1)."""
    even = torch.linspace(1, 1 / (steps + 1), steps)
    return torch.cat([shift / (shift + (1 / even - 1)), torch.zeros(1)])


ENDS = (
    (
        lambda seen: abs(seen.answer[-1].item()) < 1e-6,
        lambda seen: (
            f"{seen.called}: the way ends at {seen.answer[-1]:.3f}, where noise is left; "
            "it should end at 0"
        ),
    ),
    (
        lambda seen: abs(seen.answer[0].item() - 1) < 1e-5,
        lambda seen: (
            f"{seen.called}: painting begins at pure noise, yours begins at {seen.answer[0]:.3f}"
        ),
    ),
    (
        lambda seen: bool((seen.answer.diff() < 0).all()),
        lambda seen: (
            f"{seen.called}: the levels have to fall at every step, and some of yours do not"
        ),
    ),
)
LEVELS = (  # mistakes that show with more than one step and a shift above 1
    (
        _stretched,
        "the last step is tiny: that is the terminal stretch of the model's own schedule, and "
        "Lightning has none",
    ),
    (
        lambda steps, shift: EX_20_LIGHTNING(steps, math.exp(shift)),
        lambda steps, shift: (
            f"that is a shift of {math.exp(shift):.0f}: mu is the exponent, and here the shift "
            "itself is given"
        ),
    ),
    (
        lambda steps, shift: EX_20_LIGHTNING(steps, math.log(shift)),
        "that is mu, the logarithm of the shift, put where the shift belongs",
    ),
    (
        lambda steps, shift: EX_20_LIGHTNING(steps, 1),
        lambda steps, shift: (
            f"{_name(steps, shift)}: these are evenly spaced; they still have to be shifted"
        ),
    ),
    (
        lambda steps, shift: EX_20_LIGHTNING(steps, 1 / shift),
        lambda steps, shift: (
            f"{_name(steps, shift)}: moved the wrong way; a shift above 1 stays longer in noise"
        ),
    ),
    (
        _spaced_to_one_more,
        lambda steps, shift: (
            f"{_name(steps, shift)}: before the shift, the last of the {steps} "
            f"levels is 1 / {steps}, not 1 / {steps + 1}"
        ),
    ),
)


def _name_the_mistake(answer, right, steps: int, shift: float, called: str) -> None:
    need_all(SimpleNamespace(answer=answer, called=called), ENDS)
    if steps > 1 and shift > 1:
        near = partial(torch.allclose, atol=1e-4)
        need_none(answer, LEVELS, near, steps, shift)
    need(
        torch.allclose(answer, right, atol=1e-4) or not _of_a_size(answer, steps),
        f"{called}: that shift depends on the size of the picture; Lightning's is the same always",
    )
    need(
        torch.allclose(answer, right, atol=1e-5),
        f"{called}: the ends are right, but a level between them is not: put 1, then less by "
        f"1 / {steps} each time, into the formula of the shift",
    )


def _of_a_size(answer, steps: int) -> bool:
    """Whether the levels are the shifted ones of mu at some common picture size."""
    for tokens in (64, 256, 1024, 4096, 6889, 8192):
        mu = 0.5 + 0.4 * (tokens - 256) / (8192 - 256)
        if torch.allclose(answer, EX_20_LIGHTNING(steps, math.exp(mu)), atol=1e-4):
            return True
    return False


STEPS_TAKEN = (
    (
        lambda seen: len(seen.places) == 4,
        lambda seen: (
            "five levels are four steps, so the student is asked 4 times; yours asked "
            f"{len(seen.places)}"
        ),
    ),
    (
        lambda seen: seen.sigmas == seen.levels[:-1].tolist(),
        lambda seen: f"each step gets the level at which it begins; yours were {seen.sigmas}",
    ),
    (lambda seen: torch.equal(seen.places[0], seen.noise), "the first step begins at the noise"),
    (
        lambda seen: (
            not torch.allclose(
                seen.places[1], (1 - 0.85) * seen.target + 0.85 * seen.noise, atol=1e-5
            )
        ),
        "the second step begins on the line from target to noise: that is how a model is trained "
        "from data. Here it begins where the student's own first step ended",
    ),
    (
        lambda seen: torch.allclose(seen.places[1], _after_one(seen.noise, seen.levels), atol=1e-5),
        "the second step begins in the wrong place: a step adds (next level - level) times the "
        "velocity",
    ),
)
LOSS = (  # value, in units of the right one, and gradient
    (
        lambda seen: seen.gradient is not None,
        "no gradient comes back to the student: something cut it off on the way",
    ),
    (
        lambda seen: min(abs(seen.ratio - count) for count in seen.counts) > 1e-3,
        "the value grows with the number of points: average, do not add up",
    ),
    (
        lambda seen: abs(seen.ratio - 1) < 1e-4,
        "the value is off: compare the place after the last step with the target, each point with "
        "its own, by squares",
    ),
    (
        lambda seen: torch.allclose(seen.gradient, seen.right, rtol=1e-3, atol=1e-6),
        "the value is right, its gradient is not: it has to run back through all four steps, and "
        "yours is cut off between them",
    ),
)


@exercise
def ex_20_loss(loss) -> str:
    """loss(student, noise, target, levels), its value and its gradient, within 1e-5 of the size."""
    noise, target = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(20))
    levels = torch.tensor([1.0, 0.85, 0.6, 0.3, 0.0])
    student = _Student()
    value, gradient = _run(loss, student, noise, target, levels)
    steps = {"places": student.places, "sigmas": student.sigmas, "levels": levels}
    need_all(SimpleNamespace(**steps, noise=noise, target=target), STEPS_TAKEN)
    right_value, right = _run(EX_20_LOSS, _Student(), noise, target, levels)
    ratio, counts = (value / right_value).item(), (noise.numel(), noise.shape[1])
    need_all(SimpleNamespace(gradient=gradient, ratio=ratio, counts=counts, right=right), LOSS)
    return "the gradient of the end comes back through all four steps"


class _Student(nn.Module):
    """A curved velocity, so that no two steps are alike, and a record of its calls."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.9, -0.4, 0.1], [0.3, 0.7, 0.2], [0, 0.5, 1.1]]))
        self.places, self.sigmas = [], []

    def forward(self, x, sigma):
        self.places.append(x.detach().clone())
        self.sigmas.append(float(sigma))
        return torch.tanh(x @ self.weight) * (1 + sigma)


def _after_one(noise, levels):
    with torch.no_grad():
        return noise + (levels[1] - levels[0]) * _Student()(noise, levels[0])


def _run(loss, student, noise, target, levels):
    """-> the loss () and the gradient of the student's weight, None where none comes back"""
    value = loss(student, noise.clone(), target.clone(), levels)
    need(
        isinstance(value, torch.Tensor) and value.numel() == 1,
        f"give one number, a tensor that can be differentiated, not {type(value).__name__}",
    )
    if value.requires_grad:
        value.backward()
    return value.detach(), student.weight.grad


@exercise
def ex_20_gradients(gradients) -> str:
    """gradients(student, noise, target, levels) -> one for each parameter, a step at a time"""
    check_gradients(gradients)
    return "the gradients of the loss, with the graph of one step at a time"
