"""Chapter 27: layers."""

import itertools

import torch

from ..answers import EX_27_LEVELS, EX_27_OVER, EX_27_PLACES
from .common import demand_shape, exercise, near, need, need_none
from .tiles import check_blended
from .writing import check_write

# -- over -----------------------------------------------------------------------------------------


def _layer(height: int, width: int, seed: int) -> torch.Tensor:
    """(4, H, W), with a corner that is fully transparent and one that is opaque"""
    layer = torch.rand(4, height, width, generator=torch.Generator().manual_seed(seed))
    layer[3, 0, :2], layer[3, -1, -2:] = 0, 1
    return layer


def _light(layer: torch.Tensor) -> torch.Tensor:
    return layer[:3] * layer[3:]


def _with(colours, alpha) -> torch.Tensor:
    return torch.cat([colours, alpha])


def _alpha_of(top, bottom) -> torch.Tensor:
    return top[3:] + (1 - top[3:]) * bottom[3:]


_OVERS = [
    (
        lambda top, bottom: EX_27_OVER(bottom, top),
        "the two are swapped: the first argument lies on top",
    ),
    (lambda top, bottom: top, "the lower layer is lost"),
    (
        lambda top, bottom: _with(_light(EX_27_OVER(top, bottom)), _alpha_of(top, bottom)),
        "these colours are premultiplied: divide by the alpha of both together",
    ),
    (
        lambda top, bottom: _with(
            top[3:] * top[:3] + (1 - top[3:]) * bottom[:3], _alpha_of(top, bottom)
        ),
        "the lower colour is mixed in as if its layer were opaque; how much of it is there?",
    ),
    (
        lambda top, bottom: _with(EX_27_OVER(top, bottom)[:3], (top[3:] + bottom[3:]).clamp(max=1)),
        "the alphas are added; the upper layer covers a part of what the lower one covers",
    ),
    (
        lambda top, bottom: _with(EX_27_OVER(top, bottom)[:3], torch.maximum(top[3:], bottom[3:])),
        "this alpha is the larger of the two; together two layers cover more than either",
    ),
    (
        lambda top, bottom: _with(EX_27_OVER(top, bottom)[:3], torch.ones_like(top[3:])),
        "the result is opaque; where both layers are transparent, it must be transparent",
    ),
    (
        lambda top, bottom: _with(
            (_light(top) + _light(bottom)) / _alpha_of(top, bottom).clamp(min=1e-8),
            _alpha_of(top, bottom),
        ),
        "the lower layer shines through at its full strength, even under an opaque one",
    ),
]


def _same_picture(a, b) -> bool:
    """Colours count only where something is to be seen"""
    return near(a[3:], b[3:]) and near(_light(a), _light(b))


@exercise
def ex_27_over(over) -> str:
    """over(top, bottom): (4, H, W), (4, H, W) -> (4, H, W), straight alpha, from 0 to 1"""
    for height, width, seed in ((3, 5, 0), (6, 4, 2)):
        top, bottom = _layer(height, width, seed), _layer(height, width, seed + 1)
        answer = over(top, bottom)
        demand_shape(answer, (4, height, width), "of four channels, colours and alpha")
        need(
            bool(torch.isfinite(answer).all()),
            "a colour is not finite where both layers are transparent: there 0 is divided by 0",
        )
        need_none(answer, _OVERS, _same_picture, top, bottom)
        need(
            _same_picture(answer, EX_27_OVER(top, bottom)),
            "not right yet; begin with the light that each layer sends, its colour times the share "
            "of the pixel that it covers and nothing above it does",
        )
    a, b, c = (_layer(4, 3, seed) for seed in (5, 6, 7))
    need(
        _same_picture(over(over(a, b), c), over(a, over(b, c))),
        "three layers give two results, by which two are joined first",
    )
    return "what lies on top covers what is below, and three layers may be joined in any order"


# -- places ---------------------------------------------------------------------------------------


def _at_frames(frames, rows, cols, first_row=None, first_col=None) -> torch.Tensor:
    first_row = rows // 2 - rows if first_row is None else first_row
    first_col = cols // 2 - cols if first_col is None else first_col
    axes = [frames, range(first_row, first_row + rows), range(first_col, first_col + cols)]
    return torch.tensor([*itertools.product(*axes)])


_FRAMES = [
    (
        lambda n, rows, cols, _: _at_frames([*range(n + 2)], rows, cols),
        "the picture itself has frame -1, whatever the number of layers",
    ),
    (
        lambda n, rows, cols, _: _at_frames([-1, *range(n + 1)], rows, cols),
        "the frames are right, but the picture's tokens come last in the sequence",
    ),
    (
        lambda n, rows, cols, _: _at_frames([*range(n), -1], rows, cols),
        "one frame is missing: besides the layers, the composite is painted as well",
    ),
    (
        lambda n, rows, cols, _: _at_frames([*range(1, n + 2), -1], rows, cols),
        "the composite has frame 0, so that the first layer has frame 1",
    ),
    (
        lambda n, rows, cols, _: _at_frames([*range(n + 1), -1], rows, cols, 0, 0),
        "rows and columns are counted from the corner; every frame is centred",
    ),
    (
        lambda n, rows, cols, _: _at_frames(
            [*range(n + 1), -1], rows, cols, -(rows // 2), -(cols // 2)
        ),
        "an odd size puts its extra row on the negative side, as in chapter 05",
    ),
    (
        lambda n, rows, cols, _: _at_frames([*range(n + 1), -1], cols, rows)[:, [0, 2, 1]],
        "rows and columns are exchanged in the order of the tokens: columns change fastest",
    ),
]


def _starts(layers: int, rows: int, cols: int) -> dict:
    """Where the text may wrongly start, and what is wrong with it"""
    half = max(rows // 2, cols // 2)
    return {
        half: "with many layers of a small picture the text starts among them: it must not start "
        "before the number of layers plus one",
        layers + 1: "with a large picture the text starts inside it: it starts off the longer half "
        "side, as ever",
        max(half, layers): "the composite is a frame, too: the text starts one position too early",
        max(half, layers + 2): "the picture's frame is -1 and takes no position behind the layers",
        half + layers + 1: "the two are added; what counts is the larger of them",
        max(rows, cols, layers + 1): "half of a side lies on each side of the centre",
    }


@exercise
def ex_27_places(places) -> str:
    """places(layers, rows, cols, text_length) -> ((layers + 2) rows cols, 3), (T, 3)"""
    for case in ((7, 4, 3, 6), (1, 3, 7, 2), (2, 9, 4, 4), (3, 4, 6, 5)):
        given = places(*case)
        need(
            isinstance(given, (tuple, list)) and len(given) == 2,
            "give two tensors, the positions of the frames and those of the text",
        )
        img, txt = given
        right_img, right_txt = EX_27_PLACES(*case)
        if not _equal(torch.as_tensor(img), right_img):  # even sizes have no row of their own
            need_none(torch.as_tensor(img), _FRAMES, _equal, *case)
        demand_shape(img, tuple(right_img.shape), "with frame, row and column of every image token")
        need(
            _equal(img, right_img),
            "the frames are not right yet; write down those of two layers of 2 × 2 tokens",
        )
        demand_shape(txt, tuple(right_txt.shape), "with three equal positions for each text token")
        _check_text(txt, case, right_txt)
    return "frames 0 to n for what is painted, -1 for what is given, the text behind them"


def _check_text(txt, case, right) -> None:
    layers, rows, cols, _ = case
    need(
        bool((txt == txt[:, :1]).all()),
        "text lies on the diagonal: its frame, row and column are equal",
    )
    first = int(txt[0, 0])
    hint = "" if first == int(right[0, 0]) else _starts(layers, rows, cols).get(first, "")
    need(not hint, hint)
    need(torch.equal(txt.long(), right), "the text does not count on from where it has to start")


def _equal(a, b) -> bool:
    return a.shape == b.shape and torch.equal(a.long(), b.long())


# -- levels ---------------------------------------------------------------------------------------

_SIZES = ((7, 640, 640, 4), (12, 512, 800, 3), (5, 1088, 960, 2), (4, 96, 96, 1))


def _shifted(shift: float, steps: int) -> torch.Tensor:
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


def _by_root(scale):
    """The right form with another count of tokens"""
    return lambda steps, width, height, layers: _shifted(
        (width * height / 256 / 256 * scale(layers)) ** 0.5, steps
    )


def _stretched(steps, width, height, layers) -> torch.Tensor:
    levels = EX_27_LEVELS(steps, width, height, layers)[:-1]
    done = 1 - levels
    return torch.cat([1 - done * (0.98 / done[-1]), torch.zeros(1)])


def _exponential(mu):
    return lambda steps, width, height, layers: _shifted(
        float(torch.tensor(mu(width * height / 256)).exp()), steps
    )


_LEVELS = [
    (
        _by_root(lambda layers: layers + 1),
        "the tokens of all frames are counted; those of one frame count",
    ),
    (
        _by_root(lambda layers: layers + 2),
        "the tokens of the whole sequence are counted; those of one frame count",
    ),
    (
        _by_root(lambda layers: 4),
        "these are latents; a token is two by two of them, 16 × 16 pixels",
    ),
    (_by_root(lambda layers: 256), "these are pixels; a token has 16 × 16 of them"),
    (
        _exponential(lambda tokens: (tokens / 256) ** 0.5),
        "this is the exponential form: here the root itself is the shift",
    ),
    (
        _exponential(lambda tokens: 0.5 + 0.4 / 7936 * (tokens - 256)),
        "this is the rule of the other models, a line over the tokens",
    ),
    (lambda steps, *_: _shifted(1.0, steps), "nothing is shifted yet: these are evenly spaced"),
    (
        _stretched,
        "the levels are stretched to end at 0.02; the layered schedule leaves that out",
    ),
]


@exercise
def ex_27_levels(levels) -> str:
    """levels(steps, width, height, layers) -> (steps + 1,), falling from 1 to 0"""
    for case in _SIZES:
        answer = torch.as_tensor(levels(*case), dtype=torch.float32)
        need(
            answer.shape != (case[0],),
            "the last level is missing: the loop needs a 0 behind the others, where it ends",
        )
        demand_shape(answer, (case[0] + 1,), "of one level more than there are steps")
        need_none(answer, _LEVELS, near, *case)
        need(
            near(answer, EX_27_LEVELS(*case)),
            "not right yet; at 640 × 640 the shift is 2.5, and the level 0.5 becomes 2.5 / 3.5",
        )
    return "the root of one frame's tokens over 256, and no stretch"


# -- write ----------------------------------------------------------------------------------------


@exercise
def ex_27_write(write) -> str:
    """write(scores_of, ids, most, ends, penalty) -> the ids that are written"""
    check_write(write)
    return "the likeliest token that has not been worn out, up to the end"


# -- blended --------------------------------------------------------------------------------------


@exercise
def ex_27_blended(blended) -> str:
    """blended(tiles, step, overlap) -> (C, H, W); tiles: rows of (C, h, w)"""
    check_blended(blended)
    return "every tile fades in from above and from the left, and the picture has its size"
