"""Chapter 08: the shifted sampler."""

import math
from functools import partial
from types import SimpleNamespace

import torch

from ..answers import EX_08_GUIDE, EX_08_MU, EX_08_STRETCH
from .common import exercise, need, need_all, need_none
from .sampling_loop import ex_08_loop  # noqa: F401
from .schedule import ex_08_sigmas, ex_08_step  # noqa: F401

# ---- mu

SIZES = (  # height, width
    *((256, 256), (512, 512), (1328, 1328), (928, 1664), (1664, 928), (128, 128), (2048, 1536)),
)
MU_AT_256 = (
    (
        lambda side: EX_08_MU(side * 16, side * 16),
        "256 × 256 is far too high: count tokens, not pixels",
    ),
    (
        lambda side: EX_08_MU(side * 2, side * 2),
        "256 × 256 is too high: a token is two latents wide and two high",
    ),
    (
        lambda side: math.exp(EX_08_MU(side, side)),
        "that is the shift; mu is its logarithm, what stands in the exponent",
    ),
    (
        lambda side: 0.9,
        "larger pictures have a larger mu: which of the two numbers belongs to 256 tokens?",
    ),
    (
        lambda side: 0.5 + 0.4 * 256 / 8192,
        "256 × 256 is a little above 0.5: the line begins at 256 tokens, not at none",
    ),
)
MU = (  # {(height, width): mu}
    (
        lambda mu: mu[1328, 1328] > mu[256, 256],
        "larger pictures have a larger mu: which of the two numbers belongs to 256 tokens?",
    ),
    (
        lambda mu: _near(mu[256, 256], 0.5),
        lambda mu: f"256 × 256 has 256 tokens, and mu should be 0.5; it is {mu[256, 256]:.4f}",
    ),
    (
        lambda mu: _near(mu[928, 1664], mu[1664, 928]),
        "1664 × 928 and 928 × 1664 have as many tokens, and yours differ: both sides count",
    ),
    (
        lambda mu: _near(_on_the_line(mu, 6889), mu[1328, 1328]),
        "no straight line: it rises more steeply for some sizes than for others",
    ),
    (
        lambda mu: mu[128, 128] < 0.5,
        "128 × 128 has 64 tokens, fewer than 256: the line goes on below 0.5",
    ),
    (
        lambda mu: mu[2048, 1536] > 0.9,
        "1536 × 2048 has 12,288 tokens, more than 8192: the line goes on above 0.9",
    ),
)


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def _on_the_line(mu: dict, tokens: int) -> float:
    """mu of a number of tokens, on the line through those of 256 x 256 and 512 x 512."""
    return mu[256, 256] + (mu[512, 512] - mu[256, 256]) / (1024 - 256) * (tokens - 256)


@exercise
def ex_08_mu(mu) -> str:
    """mu for a picture of height and width in pixels, within 1e-6."""
    answers = {}
    for size in SIZES:
        answer = mu(*size)
        need(
            isinstance(answer, int | float) and math.isfinite(answer),
            f"mu is a plain number, not {answer!r}",
        )
        answers[size] = float(answer)
    need_none(answers[256, 256], MU_AT_256, _near, 256)
    need_all(answers, MU)
    for (height, width), answer in answers.items():
        need(
            _near(answer, EX_08_MU(height, width)),
            f"{width} × {height}: {answer:.4f} is not on the line through the two points",
        )
    return "mu, and nothing clamped"


# ---- the stretch

STRETCH = (
    (
        lambda seen: torch.equal(seen.given, seen.levels),
        "the levels you were given have changed; make a new tensor",
    ),
    (
        lambda seen: (
            isinstance(seen.answer, torch.Tensor)
            and seen.answer.shape in (seen.levels.shape, (len(seen.levels) + 1,))
        ),
        "give a tensor of as many levels as you were given",
    ),
    (
        lambda seen: len(seen.answer) == len(seen.levels),
        "one level too many: the final 0 comes later, not here",
    ),
    (
        lambda seen: not _near(_last(seen), 1 - seen.terminal),
        lambda seen: (
            f"the last level is {_last(seen):.3f}: it is 1 - terminal that should be over "
            "by then, and terminal that should be left"
        ),
    ),
    (
        lambda seen: not _near(_last(seen), _with_zero(seen)[-2].item()),
        lambda seen: (
            f"the last level is {_last(seen):.3f}: you stretched the final 0 along, which "
            "comes later"
        ),
    ),
    (
        lambda seen: _near(_last(seen), seen.terminal),
        lambda seen: f"the last level should be {seen.terminal}; it is {_last(seen):.4f}",
    ),
    (
        lambda seen: _near(seen.answer[0].item(), 1),
        lambda seen: (
            "painting begins at pure noise, but your first level is "
            f"{seen.answer[0]:.3f}; it is the distance from 1 that grows"
        ),
    ),
    (
        lambda seen: bool((seen.answer.diff() < 0).all()),
        "the levels have to fall at every step, and some of yours are equal",
    ),
    (
        lambda seen: not torch.allclose(seen.answer[:-1], seen.levels[:-1], atol=1e-6),
        "only the last level has moved; the others have to follow",
    ),
    (
        lambda seen: torch.allclose(
            seen.answer, EX_08_STRETCH(seen.levels, seen.terminal), atol=1e-6
        ),
        "both ends are right, but the levels between them are not: every distance from 1 "
        "grows in the same proportion",
    ),
)


def _last(seen) -> float:
    return seen.answer[-1].item()


def _with_zero(seen):
    """The levels and the final 0, stretched as if it were one of them."""
    return EX_08_STRETCH(torch.cat([seen.levels, torch.zeros(1)]), seen.terminal)


@exercise
def ex_08_stretch(stretch) -> str:
    """The stretch of shifted levels, within 1e-6."""
    for steps, shift, terminal in ((8, 2.3, 0.02), (5, 1.7, 0.1), (12, 3.0, 0.05)):
        even = torch.linspace(1, 1 / steps, steps)
        levels = shift / (shift + (1 / even - 1))
        given = levels.clone()
        answer = stretch(given, terminal)
        need_all(
            SimpleNamespace(levels=levels, given=given, answer=answer, terminal=terminal), STRETCH
        )
    return "the last step is short now, and all others a little longer"


# ---- guidance

DIRECTIONS = (
    (
        lambda cond, uncond, scale: EX_08_GUIDE(uncond, cond, scale),
        "that leads away from the prompt: which of the two comes first in the difference?",
    ),
    (
        lambda cond, uncond, scale: cond + scale * (cond - uncond),
        "that begins at cond and so goes one difference too far: scale 1 has to give cond",
    ),
)


def _combined(cond, uncond, scale):
    return uncond + scale * (cond - uncond)


def _resized(axes, cond, uncond, scale):
    """The extrapolation, resized by one ratio for all numbers along the axes."""
    size = partial(torch.linalg.vector_norm, dim=axes, keepdim=True)
    combined = _combined(cond, uncond, scale)
    return combined * size(cond) / size(combined)


LENGTHS = (
    (
        _combined,
        "the direction is right, the lengths are as the extrapolation made them: shrink them",
    ),
    (
        lambda cond, uncond, scale: (
            _combined(cond, uncond, scale)
            * (uncond.norm(dim=-1) / _combined(cond, uncond, scale).norm(dim=-1))[..., None]
        ),
        "every token has the length that it has in uncond; it should have that of cond",
    ),
    (
        partial(_resized, (0, 1, 2)),
        "one ratio for the whole batch: each token needs its own",
    ),
    (partial(_resized, (1, 2)), "one ratio for each picture: each token needs its own"),
    (partial(_resized, (1,)), "measured over the tokens: measure each token, over its channels"),
    (partial(_resized, (0,)), "measured over the batch: measure each token, over its channels"),
)


def _same_direction(a, b) -> bool:
    along = torch.nn.functional.cosine_similarity(a, b, dim=-1)
    return torch.allclose(along, torch.ones_like(along), atol=1e-5)


def _same_tokens(a, b) -> bool:
    return torch.allclose(a, b, rtol=1e-4)


@exercise
def ex_08_guide(guide) -> str:
    """Guidance of tokens (B, I, 4C) that keeps the length of each token of cond, within 1e-5."""
    for sizes, scale in (((3, 5, 8), 4.0), ((2, 7, 64), 2.5), ((1, 4, 3), 7), ((2, 3, 5), 1)):
        _judge_guidance(guide, *_velocities(*sizes), scale)
    return "every token turns, and each keeps its length"


def _velocities(B: int, I: int, channels: int):  # noqa: E741
    """-> cond and uncond (B, I, channels); no two tokens of cond are equally long"""
    generator = torch.Generator().manual_seed(8)
    cond, uncond = (torch.randn(B, I, channels, generator=generator) for _ in range(2))
    cond = cond * torch.arange(1, 1 + B * I).view(B, I, 1)
    uncond[:, -1] += 1.2 * cond[:, -1]  # longer than cond, so extrapolation makes a short token
    return cond, uncond


def _judge_guidance(guide, cond, uncond, scale: float) -> None:
    answer, right = guide(cond, uncond, scale), EX_08_GUIDE(cond, uncond, scale)
    need(
        isinstance(answer, torch.Tensor) and answer.shape == cond.shape,
        f"the result has the shape of cond, {tuple(cond.shape)}",
    )
    need(bool(torch.isfinite(answer).all()), "some numbers of the result are not finite")
    if scale != 1:  # scale 1 makes most mistakes give cond, as the right answer does
        need_none(answer, DIRECTIONS, _same_direction, cond, uncond, scale)
        need_none(answer, LENGTHS, _same_tokens, cond, uncond, scale)
    need(
        _same_direction(answer, right),
        f"with a scale of {scale} some tokens point elsewhere than uncond + scale (cond - uncond)",
    )
    short = right.norm(dim=-1) > 1.001 * _combined(cond, uncond, scale).norm(dim=-1)
    as_long = torch.isclose(answer.norm(dim=-1), right.norm(dim=-1), rtol=1e-4)
    need(
        not as_long[~short].all() or bool(as_long[short].all()),
        "a token that the extrapolation made shorter than in cond has to become longer again, and "
        "yours stays short",
    )
    need(
        torch.allclose(answer.norm(dim=-1), cond.norm(dim=-1), rtol=1e-4),
        "every token should be as long as it is in cond, and some are not",
    )
