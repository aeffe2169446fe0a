"""Chapter 07, steps to the stack: patches and back, the time embedding."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange

from ..answers import EX_07_PATCHIFY, EX_07_TIME, EX_07_UNPATCHIFY
from .common import demand_shape, exercise, need, need_none, numbers

PATCHES = "(h dy) (w dx)"  # rows and columns of latents


def _counted(*shape):
    """Numbers of which no two are the same, and few are in float16."""
    return torch.arange(1.0, 1 + math.prod(shape)).view(shape) / 3


# ---- patches


def _packed(order):
    """The wrong answer whose tokens, or whose numbers in a token, have this order."""
    return lambda latents: rearrange(latents, f"b c {PATCHES} -> {order}", dy=2, dx=2)


TO_TOKENS = (  # wrong answers
    (
        _packed("b (h w) (dy dx c)"),
        "the channels are the fastest in your tokens; here the channel is the slowest and the "
        "column in the patch the fastest",
    ),
    (
        _packed("b (h w) (c dx dy)"),
        "within a channel your patches run down first; they run to the right first, then down",
    ),
    (
        _packed("b (h w) (dy c dx)"),
        "your tokens hold patch rows, each with all channels; all four numbers of a channel stand "
        "together",
    ),
    (
        _packed("b (w h) (c dy dx)"),
        "the tokens run down the columns of the grid; they run along its rows",
    ),
    (
        lambda latents: latents.reshape(len(latents), -1, 4 * latents.shape[1]),
        "the numbers are only counted off; a token is a patch of two rows and two columns, with "
        "all its channels",
    ),
    (
        lambda latents: rearrange(latents, "b c (dy h) (dx w) -> b (h w) (c dy dx)", dy=2, dx=2),
        "the numbers of a patch are neighbours; yours are half a picture apart",
    ),
)


@exercise
def ex_07_patchify(patchify) -> str:
    """patchify(latents): every 2x2 patch of latents becomes a token."""
    for shape in ((2, 3, 4, 6), (1, 16, 6, 2), (3, 1, 2, 10)):
        latents, (B, C, h, w) = _counted(*shape), shape
        given, right = patchify(latents), EX_07_PATCHIFY(latents)
        demand_shape(given, (B, h * w // 4, 4 * C), "of tokens, (B, I, 4C)")
        if not torch.equal(given, right):
            need_none(given, TO_TOKENS, torch.equal, latents)
        need(
            torch.equal(given, right),
            f"latents {shape}: some numbers are in the wrong token, or in the wrong place of it",
        )
    return "a picture is a sequence now"


def _unpacked(order, to=PATCHES):
    """The wrong answer that takes tokens, or the numbers in one, to have this order."""
    return lambda tokens, rows, cols: rearrange(
        tokens, f"{order} -> b c {to}", h=rows, w=cols, dy=2, dx=2
    )


TO_LATENTS = (  # wrong answers
    (
        _unpacked("b (h w) (dy dx c)"),
        "you take the channels for the fastest in a token; the channel is the slowest",
    ),
    (_unpacked("b (h w) (c dx dy)"), "rows and columns within a patch have changed places"),
    (
        _unpacked("b (w h) (c dy dx)"),
        "you lay the tokens down the columns of the grid; they run along its rows",
    ),
    (
        lambda tokens, rows, cols: tokens.reshape(len(tokens), -1, 2 * rows, 2 * cols),
        "the numbers are only given another shape; two neighbours in a token may lie in two rows "
        "of the picture",
    ),
    (
        _unpacked("b (h w) (c dy dx)", to="(dy h) (dx w)"),
        "the numbers of a patch are to be neighbours; yours are half a picture apart",
    ),
)


@exercise
def ex_07_unpatchify(unpatchify) -> str:
    """unpatchify(tokens, rows, cols): tokens back to latents."""
    for batch, channels, rows, cols in ((2, 3, 2, 5), (1, 16, 4, 1), (3, 1, 3, 3)):
        tokens = _counted(batch, rows * cols, 4 * channels)
        given, right = unpatchify(tokens, rows, cols), EX_07_UNPATCHIFY(tokens, rows, cols)
        demand_shape(given, right.shape, f"of latents, (B, C, h, w), for {rows} x {cols} tokens")
        if not torch.equal(given, right):
            need_none(given, TO_LATENTS, torch.equal, tokens, rows, cols)
        need(
            torch.equal(given, right),
            f"{rows} rows, {cols} columns: some numbers are not where they came from",
        )
    return "the way back, to the last number"


# ---- time


def _layers(dim: int):
    """Two linear layers of random weights, as functions: 256 -> dim -> dim."""
    first, second = numbers(dim, 256, seed=1) / 8, numbers(dim, dim, seed=2) / dim**0.5
    bias = numbers(2, dim, seed=3)
    return (lambda x: F.linear(x, first, bias[0])), (lambda x: F.linear(x, second, bias[1]))


def _waves(sigma, exponents=None, factor=1000, order=(0, 1), interleaved=False):
    """Cosines and sines with one thing changed."""
    exponents = torch.arange(128) / 128 if exponents is None else exponents
    angle = factor * torch.outer(sigma, 10000**-exponents)
    halves = [(angle.cos(), angle.sin())[n] for n in order]
    return torch.stack(halves, -1).flatten(1) if interleaved else torch.cat(halves, 1)


def _through(waves, linear_1, linear_2):
    return linear_2(F.silu(linear_1(waves)))


TIME = (  # wrong answers
    (
        lambda sigma, *layers: _through(_waves(sigma, factor=1), *layers),
        "the angles are a thousand times too small: the position is 1000 times sigma",
    ),
    (
        lambda sigma, *layers: _through(_waves(sigma, order=(1, 0)), *layers),
        "the sines come first in yours; first come all cosines",
    ),
    (
        lambda sigma, *layers: _through(_waves(sigma, interleaved=True), *layers),
        "cosines and sines take turns in yours; first come all cosines, then all sines",
    ),
    (
        lambda sigma, *layers: _through(_waves(sigma, torch.arange(128) / 127), *layers),
        "the last exponent is -1 in yours; it is -127/128",
    ),
    (
        lambda sigma, *layers: _through(_waves(sigma, torch.arange(128) / 256), *layers),
        "the exponents reach only a half; pair i has -i/128",
    ),
    (
        lambda sigma, linear_1, linear_2: linear_2(linear_1(_waves(sigma))),
        "there is no activation between the two linear layers",
    ),
    (
        lambda sigma, linear_1, linear_2: F.silu(linear_2(F.silu(linear_1(_waves(sigma))))),
        "there is an activation behind the second layer; it belongs between the two",
    ),
    (
        lambda sigma, linear_1, linear_2: linear_2(F.gelu(linear_1(_waves(sigma)))),
        "the activation is a GELU; here it is SiLU",
    ),
)


@exercise
def ex_07_time(time_embedding) -> str:
    """time_embedding(sigma, linear_1, linear_2): noise levels to the vectors of all blocks."""
    for dim, levels in ((7, (0.37, 0.91, 0.05)), (12, (1.0,)), (5, (0.5, 0.0))):
        sigma, layers = torch.tensor(levels), _layers(dim)
        given = time_embedding(sigma, *layers)
        demand_shape(given, (len(levels), dim), "with one vector for each noise level, (B, D)")
        need_none(given, TIME, close, sigma, *layers)
        need(
            close(given, EX_07_TIME(sigma, *layers)),
            "not the right vectors: 128 angles, their cosines, then their sines, through the first "
            "layer, an activation and the second layer",
        )
    return "a number between 0 and 1 is a vector that every block can use"


def close(a, b) -> bool:
    """As near as two ways to compute the angles are."""
    # angles reach 1000, where float32 has steps of 6e-5
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-4)
