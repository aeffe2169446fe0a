"""Chapter 08: the shifted sampler."""

import math
from functools import partial

import torch

from ..answers import EX_08_GUIDE, EX_08_MU, EX_08_STRETCH
from .common import exercise, need


@exercise
def ex_08_mu(mu) -> None:
    """mu for a picture of height and width in pixels, within 1e-6."""
    sizes = [
        (256, 256),
        (512, 512),
        (1328, 1328),
        (928, 1664),
        (1664, 928),
        (128, 128),
        (2048, 1536),
    ]
    found = {}
    for size in sizes:
        answer = mu(*size)
        need(
            isinstance(answer, int | float) and math.isfinite(answer),
            f"mu is a plain number, not {answer!r}",
        )
        found[size] = float(answer)
    base, large = found[256, 256], found[1328, 1328]
    need(
        not _near(base, EX_08_MU(256 * 16, 256 * 16)),
        "256 × 256 is far too high: count tokens, not pixels",
    )
    need(
        not _near(base, EX_08_MU(256 * 2, 256 * 2)),
        "256 × 256 is too high: a token is two latents wide and two high",
    )
    need(
        not _near(base, math.exp(0.5)),
        "that is the shift; mu is its logarithm, what stands in the exponent",
    )
    need(
        not _near(base, 0.9) and large > base,
        "larger pictures have a larger mu: which of the two numbers belongs to 256 tokens?",
    )
    need(
        not _near(base, 0.5 + 0.4 * 256 / 8192),
        "256 × 256 is a little above 0.5: the line begins at 256 tokens, not at none",
    )
    need(_near(base, 0.5), f"256 × 256 has 256 tokens, and mu should be 0.5; it is {base:.4f}")
    need(
        _near(found[928, 1664], found[1664, 928]),
        "1664 × 928 and 928 × 1664 have as many tokens, and yours differ: both sides count",
    )
    line = (found[512, 512] - base) / (1024 - 256)
    bent = not _near(base + line * (6889 - 256), large)
    need(not bent, "no straight line: it rises more steeply for some sizes than for others")
    need(
        found[128, 128] < 0.5,
        "128 × 128 has 64 tokens, fewer than 256: the line goes on below 0.5",
    )
    need(
        found[2048, 1536] > 0.9,
        "1536 × 2048 has 12,288 tokens, more than 8192: the line goes on above 0.9",
    )
    for size, answer in found.items():
        need(
            _near(answer, EX_08_MU(*size)),
            f"{size[1]} × {size[0]}: {answer:.4f} is not on the line through the two points",
        )
    print("right: mu, and nothing clamped")


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


@exercise
def ex_08_stretch(stretch) -> None:
    """The stretch of shifted levels, within 1e-6."""
    for steps, shift, terminal in ((8, 2.3, 0.02), (5, 1.7, 0.1), (12, 3.0, 0.05)):
        even = torch.linspace(1, 1 / steps, steps)
        levels = shift / (shift + (1 / even - 1))
        given = levels.clone()
        answer = stretch(given, terminal)
        need(
            torch.equal(given, levels),
            "the levels you were given have changed; make a new tensor",
        )
        need(
            isinstance(answer, torch.Tensor) and answer.shape in (levels.shape, (steps + 1,)),
            "give a tensor of as many levels as you were given",
        )
        need(len(answer) == steps, "one level too many: the final 0 comes later, not here")
        last, right = answer[-1].item(), EX_08_STRETCH(levels, terminal)
        need(
            not _near(last, 1 - terminal),
            f"the last level is {last:.3f}: it is 1 - terminal that should be over by then, "
            "and terminal that should be left",
        )
        longer = EX_08_STRETCH(torch.cat([levels, torch.zeros(1)]), terminal)
        need(
            not _near(last, longer[-2].item()),
            f"the last level is {last:.3f}: you stretched the final 0 along, which comes later",
        )
        need(
            abs(last - terminal) < 1e-6,
            f"the last level should be {terminal}; it is {last:.4f}",
        )
        need(
            abs(answer[0].item() - 1) < 1e-6,
            f"painting begins at pure noise, but your first level is {answer[0]:.3f}; it is the "
            "distance from 1 that grows",
        )
        need(
            bool((answer.diff() < 0).all()),
            "the levels have to fall at every step, and some of yours are equal",
        )
        need(
            not torch.allclose(answer[:-1], levels[:-1], atol=1e-6),
            "only the last level has moved; the others have to follow",
        )
        need(
            torch.allclose(answer, right, atol=1e-6),
            "both ends are right, but the levels between them are not: every distance from 1 "
            "grows in the same proportion",
        )
    print("right: the last step is short now, and all others a little longer")


@exercise
def ex_08_guide(guide) -> None:
    """Guidance of tokens (B, I, 4C) that keeps the length of each token of cond, within 1e-5."""
    B, I, channels, scale = 3, 5, 8, 4.0
    generator = torch.Generator().manual_seed(8)
    cond, uncond = (torch.randn(B, I, channels, generator=generator) for _ in range(2))
    cond = cond * torch.arange(1, 1 + B * I).view(B, I, 1)  # every token has a length of its own
    answer, right = guide(cond.clone(), uncond.clone(), scale), EX_08_GUIDE(cond, uncond, scale)
    need(
        isinstance(answer, torch.Tensor) and answer.shape == cond.shape,
        f"the result has the shape of cond, {tuple(cond.shape)}",
    )
    need(bool(torch.isfinite(answer).all()), "some numbers of the result are not finite")
    along = torch.nn.functional.cosine_similarity(answer, right, dim=-1)
    backwards = EX_08_GUIDE(uncond, cond, scale)
    away = torch.nn.functional.cosine_similarity(answer, backwards, dim=-1)
    need(
        not torch.allclose(away, torch.ones(B, I), atol=1e-4),
        "that leads away from the prompt: which of the two comes first in the difference?",
    )
    inside = torch.nn.functional.cosine_similarity(answer, cond + scale * (cond - uncond), dim=-1)
    need(
        not torch.allclose(inside, torch.ones(B, I), atol=1e-5),
        "that begins at cond and so goes one difference too far: scale 1 has to give cond",
    )
    lengths, combined = answer.norm(dim=-1), uncond + scale * (cond - uncond)
    need(
        not torch.allclose(answer, combined, rtol=1e-4),
        "the direction is right, the lengths are as the extrapolation made them: shrink them",
    )
    need(
        not torch.allclose(lengths, uncond.norm(dim=-1), rtol=1e-4),
        "every token has the length that it has in uncond; it should have that of cond",
    )
    for axes, hint in (
        ((0, 1, 2), "one ratio for the whole batch: each token needs its own"),
        ((1, 2), "one ratio for each picture: each token needs its own"),
        ((1,), "measured over the tokens: measure each token, over its channels"),
        ((0,), "measured over the batch: measure each token, over its channels"),
    ):
        size = partial(torch.linalg.vector_norm, dim=axes, keepdim=True)
        ratio = size(cond) / size(combined)
        need(not torch.allclose(answer, combined * ratio, rtol=1e-4), hint)
    need(
        torch.allclose(along, torch.ones(B, I), atol=1e-4),
        "some tokens point elsewhere than uncond + scale (cond - uncond)",
    )
    need(
        torch.allclose(lengths, cond.norm(dim=-1), rtol=1e-4),
        "every token should be as long as it is in cond, and some are not",
    )
    print("right: every token turns, and none grows")
