"""Chapter 03, steps to a layer of the text encoder: norm, rotary positions, gated MLP."""

import torch
import torch.nn.functional as F

from ..answers import EX_03_MLP, EX_03_NORM, EX_03_ROTARY
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers

# ---- the norm


def _divided(x, weight, by):
    return weight * x / by.sqrt()


NORM = (  # wrong answers
    (
        lambda x, weight, eps: EX_03_NORM(x, 1, eps),
        "the weight is missing: one learned factor for each of the D numbers",
    ),
    (
        lambda x, weight, eps: EX_03_NORM(x, 1 + weight, eps),
        "1 is added to the weight; here the weight is the factor itself",
    ),
    (
        lambda x, weight, eps: weight * F.layer_norm(x, x.shape[-1:], eps=eps),
        "the mean of the numbers is subtracted; an RMSNorm only divides",
    ),
    (
        lambda x, weight, eps: _divided(x, weight, x.var(-1, correction=0, keepdim=True) + eps),
        "divided by the standard deviation; the mean square is taken around 0, not around the mean",
    ),
    (
        lambda x, weight, eps: _divided(x, weight, x.pow(2).sum(-1, keepdim=True) + eps),
        "divided by the length of the vector: the mean of the squares is wanted, not their sum",
    ),
    (
        lambda x, weight, eps: weight * x / (x.pow(2).mean(-1, keepdim=True) + eps),
        "divided by the mean square itself; its root is missing",
    ),
    (
        lambda x, weight, eps: _divided(x, weight, x.pow(2).mean(1, keepdim=True) + eps),
        "the mean runs over the tokens; each token has a mean of its own, over its D numbers",
    ),
    (
        lambda x, weight, eps: _divided(x, weight, x.pow(2).mean() + eps),
        "one mean for everything; each token has a mean of its own",
    ),
    (
        lambda x, weight, eps: weight * x / x.abs().mean(-1, keepdim=True),
        "divided by the mean of the sizes; take squares, their mean, and the root of that",
    ),
)
EPS = (  # wrong answers where eps is not small
    (
        lambda x, weight, eps: EX_03_NORM(x, weight, 1e-6),
        "eps makes no difference: it is left out, or written down as a number; add the argument "
        "to the mean square",
    ),
    (
        lambda x, weight, eps: weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps),
        "eps is added to the root; it stands inside, beside the mean square",
    ),
)


@exercise
def ex_03_norm(rms_norm) -> str:
    """rms_norm(x, weight, eps): (..., D) divided by the root of the mean square, weighted."""
    x, weight = 1 + 3 * numbers(2, 5, 12), 1 + numbers(12, seed=1) / 2
    given = rms_norm(x, weight, 1e-6)
    demand_shape(given, x.shape, "of the shape of x")
    need_none(given, NORM, near, x, weight, 1e-6)
    need(
        near(given, EX_03_NORM(x, weight, 1e-6)),
        "not yet an RMSNorm: x over the root of the mean of its squares, times the weight",
    )
    need_none(rms_norm(x, weight, 0.5), EPS, near, x, weight, 0.5)
    for shape, eps in (((2, 5, 12), 0.5), ((3, 7), 1e-5), ((1, 2, 4, 6), 0.1)):
        x, weight = numbers(*shape) / 2, numbers(shape[-1], seed=2)
        need_same(
            *(rms_norm, EX_03_NORM, near, (x, weight, eps)),
            f"right for one tensor, not for {shape} with eps {eps}; D is the last axis, however "
            "many stand before it",
        )
    return "size one, whatever came in"


# ---- rotary positions


def _turned(x, angle):
    a, b = x.chunk(2, dim=-1)
    turned = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.cat(turned, dim=-1)


def _half(x):
    return torch.arange(x.shape[-1] // 2)


def _neighbours(x, places, theta):
    """Number 2i and number 2i + 1 turned together."""
    apart = x.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
    return EX_03_ROTARY(apart, places, theta).unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


ROTARY = (  # wrong answers
    (lambda x, places, theta: x, "nothing is turned"),
    (
        _neighbours,
        "neighbours turn together, 0 with 1; here number i turns with the one half a head away",
    ),
    (
        lambda x, places, theta: EX_03_ROTARY(x, -places, theta),
        "that turns the other way: a quarter turn brings (1, 0) to (0, 1)",
    ),
    (
        lambda x, places, theta: EX_03_ROTARY(x, places[:1].expand(x.shape[2]), theta),
        "every token is turned by the angles of the first; each has a place of its own",
    ),
    (
        lambda x, places, theta: EX_03_ROTARY(x, places, 10000.0),
        "theta is written down as 10,000; take the argument",
    ),
    (
        lambda x, places, theta: _turned(
            x, torch.outer(places, theta ** -(_half(x) / x.shape[-1]))
        ),
        "the exponent of pair i is -2i/K; yours is half of it, so that pairs turn too fast",
    ),
    (
        lambda x, places, theta: _turned(x, places[:, None].expand(-1, len(_half(x)))),
        "every pair turns equally fast; pair i is slower by theta to the power of 2i/K",
    ),
    (
        lambda x, places, theta: _turned(
            x, torch.outer(places, theta ** (2 * _half(x) / x.shape[-1]))
        ),
        "later pairs turn faster; the sign of the exponent is wrong",
    ),
    (
        lambda x, places, theta: (
            EX_03_ROTARY(x, places, theta).unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        ),
        "turned rightly and put back in turns, a b a b; each half goes back where it came from",
    ),
)


@exercise
def ex_03_rotary(rotary) -> str:
    """rotary(x, places, theta): every pair of a head turned by an angle that grows with place."""
    x, places = numbers(2, 3, 5, 8), torch.tensor([3.0, 4, 5, 6, 9])
    still = rotary(x, torch.zeros(5), 100.0)
    demand_shape(still, x.shape, "of the shape of x, (B, H, T, K)")
    counted = EX_03_ROTARY(x, torch.arange(5), 100.0)
    need(
        not near(still, counted) and not near(still, _reordered(counted)),
        "the places are counted from 0; take those that are given, which may begin anywhere",
    )
    need(
        near(still, x) or near(still, _reordered(x)),
        "at place 0 nothing turns, and yours comes out changed",
    )
    given = rotary(x, places, 100.0)
    need_none(given, ROTARY, near, x, places, 100.0)
    halves = [tensor.unflatten(-1, (2, 4)).norm(dim=-2) for tensor in (given, x)]
    need(near(*halves), "a pair has become longer or shorter; both new numbers need both old ones")
    need(
        near(given, EX_03_ROTARY(x, places, 100.0)), "turned by angles that are not the right ones"
    )
    for shape, theta in (((1, 28, 4, 16), 1e6), ((3, 1, 7, 6), 1e4), ((2, 4, 1, 2), 50.0)):
        x, places = numbers(*shape), torch.arange(shape[2]) + 2.0
        need_same(
            *(rotary, EX_03_ROTARY, near, (x, places, theta)),
            f"right for heads 8 wide, not for x {shape} and theta {theta:g}; take all sizes from x",
        )
    return "each token is turned to its place, and only distances will count"


def _reordered(x):
    return x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


# ---- the gated MLP

GATED = (  # wrong answers
    (
        lambda y, gate, up, down: EX_03_MLP(y, up, gate, down),
        "gate and up are exchanged: the sigmoid belongs to what comes from gate",
    ),
    (
        lambda y, gate, up, down: ((y @ gate.T).sigmoid() * (y @ up.T)) @ down.T,
        "the gate is a bare sigmoid; SwiGLU multiplies it by its own argument, g",
    ),
    (
        lambda y, gate, up, down: (F.gelu(y @ gate.T) * (y @ up.T)) @ down.T,
        "the gate is a GELU; here it is g times the sigmoid of g",
    ),
    (
        lambda y, gate, up, down: (F.relu(y @ gate.T) * (y @ up.T)) @ down.T,
        "the gate is cut off at 0; here it is g times the sigmoid of g, which is smooth",
    ),
    (
        lambda y, gate, up, down: F.silu(y @ gate.T) @ down.T,
        "up is not used: it makes what the gate multiplies",
    ),
    (
        lambda y, gate, up, down: (F.silu(y @ gate.T) + y @ up.T) @ down.T,
        "the gate is added; it multiplies, number by number",
    ),
    (
        lambda y, gate, up, down: ((y @ gate.T) * (y @ up.T)) @ down.T,
        "the product has no activation; the gate is g times the sigmoid of g",
    ),
    (
        lambda y, gate, up, down: F.silu((y @ gate.T) * (y @ up.T)) @ down.T,
        "the activation comes after the product; it belongs to the gate alone",
    ),
    (
        lambda y, gate, up, down: y + EX_03_MLP(y, gate, up, down),
        "y is added to the result; the layer does that, and to another vector",
    ),
)


@exercise
def ex_03_mlp(gated_mlp) -> str:
    """gated_mlp(y, gate, up, down): SwiGLU, by the three matrices."""
    for batch, tokens, D, inner in ((2, 5, 6, 9), (1, 3, 8, 4), (3, 1, 4, 11)):
        y, down = numbers(batch, tokens, D), numbers(D, inner, seed=3)
        gate, up = numbers(inner, D, seed=1), numbers(inner, D, seed=2)
        given = gated_mlp(y, gate, up, down)
        demand_shape(given, y.shape, "of the shape of y, (B, T, D)")
        need_none(given, GATED, near, y, gate, up, down)
        need(
            torch.allclose(given, EX_03_MLP(y, gate, up, down), atol=1e-4),
            "not yet SwiGLU: the gate g times its sigmoid, times what up makes of y, through down",
        )
    return "widened, gated number by number, narrowed"
