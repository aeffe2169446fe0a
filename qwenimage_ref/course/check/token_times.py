"""Chapter 24, four stars: a block's two halves with a time for each token."""

import torch
import torch.nn.functional as F
from torch import nn

from ..answers import EX_24_HALVES
from .common import demand_shape, exercise, near, need, need_none, numbers


def _projected(linear, temb):
    return linear(F.silu(temb))


def _norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _modulated(x, shift, scale):
    return _norm(x) * (1 + scale) + shift


def _joined(img, gate, out):
    return img + gate * out


def _halves(
    img, temb, linear, sublayers, target, own=({}, {}), order=range(6), project=_projected,
    modulated=_modulated, joined=_joined,
):  # fmt: skip
    """The answer with one thing wrong

    own: for each half {0: shift, 1: scale, 2: gate} -> the row that all tokens take, in place of
    each token's own. order: of the six numbers.
    """
    times = (torch.arange(img.shape[1]) >= target).long()
    six = project(linear, temb).chunk(6, dim=-1)
    six = [six[n] for n in order]
    for sublayer, three, rows in zip(sublayers, (six[:3], six[3:]), own):
        shift, scale, gate = (
            each[:, [rows[n]] if n in rows else times] for n, each in enumerate(three)
        )
        img = joined(img, gate, sublayer(modulated(img, shift, scale)))
    return img


def _without_own(first=(), second=(), row=0):
    """All tokens take one row where these numbers of a half are concerned"""
    own = tuple(dict.fromkeys(which, row) for which in (first, second))
    return lambda *given: _halves(*given, own=own)


def _moved(by: int):
    return lambda img, temb, linear, sublayers, target: EX_24_HALVES(
        img, temb, linear, sublayers, target + by
    )


def _from_the_end(img, temb, linear, sublayers, target):
    return EX_24_HALVES(img, temb, linear, sublayers, img.shape[1] - target)


def _exchanged(img, temb, linear, sublayers, target):
    return EX_24_HALVES(img, temb.flip(1), linear, sublayers, target)


def _zeros(img, temb, linear, sublayers, target):
    blank = torch.stack([temb[:, 0], torch.zeros_like(temb[:, 1])], dim=1)
    return EX_24_HALVES(img, blank, linear, sublayers, target)


def _untouched(img, temb, linear, sublayers, target):
    out = EX_24_HALVES(img, temb, linear, sublayers, target)
    return torch.cat([out[:, :target], img[:, target:]], dim=1)


def _apart(img, temb, linear, sublayers, target):
    """The target and the pictures go through the sublayers one after the other"""
    parts = (img[:, :target], temb[:, :1]), (img[:, target:], temb[:, 1:])
    out = [
        EX_24_HALVES(part, row.expand(-1, 2, -1), linear, sublayers, target) for part, row in parts
    ]
    return torch.cat(out, dim=1)


# wrong halves of (img, temb, linear, sublayers, target), and what is wrong with each
HALVES = (
    (
        _without_own((0, 1, 2), (0, 1, 2)),
        "every token gets the row of the noise level, as before Edit-2511",
    ),
    (
        _without_own((0, 1, 2), (0, 1, 2), row=1),
        "every token gets the row of time zero, the target as well",
    ),
    (_exchanged, "the two rows are exchanged: the target is noisy, the pictures are clean"),
    (_without_own((2,), (2,)), "the gates, too, are each token's own"),
    (_without_own((0,), (0,)), "the shifts, too, are each token's own"),
    (_without_own((1,), (1,)), "the scales, too, are each token's own"),
    (_without_own((0, 1), (0, 1)), "only the gates are each token's own; shift and scale are not"),
    (_without_own(second=(0, 1, 2)), "the second half has its own six numbers chosen like these"),
    (_without_own(first=(0, 1, 2)), "the first half needs each token's own row as well"),
    (_moved(1), "the boundary is one token late: number `target` is a picture's already"),
    (_moved(-1), "the boundary is one token early: token `target` - 1 is still the target's"),
    (_from_the_end, "the target's tokens are the first ones, not the last"),
    (_zeros, "time zero is a row of temb like the other, no vector of zeros"),
    (_untouched, "the pictures' tokens go through the block, too; only their time is another"),
    (
        lambda *given: _halves(*given, project=lambda linear, temb: linear(temb)),
        "SiLU comes before the linear layer",
    ),
    (
        lambda *given: _halves(*given, project=lambda linear, temb: F.silu(linear(temb))),
        "SiLU comes before the linear layer, not behind it",
    ),
    (
        lambda *given: _halves(*given, order=(1, 0, 2, 4, 3, 5)),
        "the order is shift, scale, gate; scale comes first in the last layer alone",
    ),
    (
        lambda *given: _halves(*given, order=(3, 4, 5, 0, 1, 2)),
        "the first three numbers are attention's, the last three the MLP's",
    ),
    (
        lambda *given: _halves(*given, joined=lambda img, gate, out: gate * out),
        "the sublayer's result is added to the stream, not put in its place",
    ),
    (
        lambda *given: _halves(*given, modulated=lambda x, shift, scale: _norm(x) * scale + shift),
        "the factor is one plus scale",
    ),
    (
        lambda *given: _halves(*given, modulated=lambda x, shift, scale: x * (1 + scale) + shift),
        "the stream is normalised before it is scaled and shifted",
    ),
    (
        lambda img, temb, linear, sublayers, target: _halves(
            img, temb, linear, sublayers[:1], target
        ),
        "there are two halves: attention, then the MLP",
    ),
    (
        _apart,
        "target and pictures must go through a sublayer together: attention is between all of them",
    ),
)


def _mixing(size: int, seed: int):
    """A sublayer in which tokens see each other, as in attention"""
    table = numbers(size, size, seed=seed) / size

    def mix(x):
        tokens = x.shape[1]
        return torch.einsum("st,btd->bsd", table[:tokens, :tokens], x.tanh())

    return mix


def _alone(seed: int, width: int):
    """A sublayer in which every token is by itself, as in the MLP"""
    table = numbers(width, width, seed=seed) / width**0.5
    return lambda x: (x @ table).sin()


@exercise
def ex_24_halves(halves) -> str:
    """halves(img, temb, linear, sublayers, target), with pictures smaller and larger than it."""
    for seed, (B, S, D, target) in enumerate([(2, 9, 8, 3), (3, 11, 6, 7), (1, 6, 10, 2)]):
        linear = nn.Linear(D, 6 * D).requires_grad_(False)
        linear.weight.copy_(numbers(6 * D, D, seed=seed + 40) / D**0.5)
        linear.bias.copy_(numbers(6 * D, seed=seed + 60))
        img, temb = numbers(B, S, D, seed=seed), numbers(B, 2, D, seed=seed + 20)
        case = (img, temb, linear, (_mixing(S, seed), _alone(seed, D)), target)
        given, right = halves(*case), EX_24_HALVES(*case)
        demand_shape(given, right.shape, "like img, (B, S, D)")
        if not near(given, right):
            need_none(given, HALVES, near, *case)
        need(
            near(given, right),
            f"{target} tokens of the target and {S - target} of pictures: "
            f"{_where(given, right, target)}",
        )
    return "each token is modulated by its own time, in both halves"


def _where(given, right, target: int) -> str:
    apart = (given - right).abs().amax(dim=(0, 2)) > 1e-5
    if not apart[target:].any():
        return "the pictures' tokens are right and the target's are not"
    if not apart[:target].any():
        return "the target's tokens are right and the pictures' are not"
    return "tokens of both are wrong"
