"""Chapter 04: pictures to latents and back."""

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from ..answers import EX_04_STATS
from .common import demand_shape, exercise, need, need_none, need_same, numbers


@exercise
def ex_04_taps(flatten) -> str:
    """(out, in, t, k, k) -> (out, in, k, k): the same on one frame, with t - 1 empty ones before"""
    generator = torch.Generator().manual_seed(4)
    frame = torch.randn(2, 4, 9, 8, generator=generator)
    big = torch.randn(5, 4, 3, 3, 3, generator=generator)
    small = flatten(big.clone())
    need(isinstance(small, torch.Tensor), f"the answer is a tensor, not {type(small).__name__}")
    need(
        small.shape == (5, 4, 3, 3),
        f"a picture needs a weight of (5, 4, 3, 3); yours is {tuple(small.shape)}",
    )
    need(
        not any(
            torch.equal(small, big[..., i, :]) or torch.equal(small, big[..., i]) for i in (0, 1, 2)
        ),
        "that cuts a row or a column of the picture's neighbourhood away, and keeps all of time: "
        "all three axes are 3 long, and nothing complained",
    )
    tried = {
        "the middle one meets the frame before the picture, and there was none": big[:, :, 1],
        "the first one meets what was two frames ago: nothing": big[:, :, 0],
        "a sum of all three is right for a film without motion; before a single picture there is "
        "nothing at all": big.sum(2),
        "a mean of all three is dimmer than a film without motion would be; before a "
        "single picture there is nothing at all": big.mean(2),
        "the right tap, turned around: PyTorch's convolution does not flip its weight": big[
            :, :, 2
        ].flip(-1, -2),
    }
    for hint, wrong in tried.items():
        need(not _near(small, wrong), hint)
    answer = F.conv2d(frame, small, padding=1)
    film = F.pad(frame.unsqueeze(2), (1, 1, 1, 1, 2, 0))
    need(
        _near(answer, F.conv3d(film, big).squeeze(2)),
        "convolved with one frame, yours and the film's give different pictures",
    )
    _no_time(flatten, generator)
    return "one tap lives, two are dead, and a picture costs a third"


def _no_time(flatten, generator) -> None:
    """A weight of 1 x 1 x 1, as the shortcuts have it."""
    point = torch.randn(7, 6, 1, 1, 1, generator=generator)
    try:
        small = flatten(point.clone())
    except IndexError:
        small = None
    need(
        small is not None and small.shape == (7, 6, 1, 1) and _near(small, point[:, :, 0]),
        "right for 3 taps; but shortcuts have a weight of (7, 6, 1, 1, 1), a single tap: count "
        "from the end that both have",
    )


@exercise
def ex_04_stats(normalise) -> str:
    """(B, C, h, w), (C,), (C,) -> (B, C, h, w)"""
    generator = torch.Generator().manual_seed(4)
    # careful: w is C here, as in the pocket model, so that a wrong axis does not raise
    mean, std = torch.tensor([0.5, -1.5, 2.0, 0.25]), torch.tensor([2.0, 0.5, 1.5, 3.0])
    z = torch.randn(2, 4, 3, 4, generator=generator) + 0.3
    answer = normalise(z.clone(), mean, std)
    need(isinstance(answer, torch.Tensor), f"the answer is a tensor, not {type(answer).__name__}")
    need(answer.shape == z.shape, f"{tuple(z.shape)} went in and {tuple(answer.shape)} came out")
    m, s = mean.view(4, 1, 1), std.view(4, 1, 1)
    mistakes = {
        "that is the inverse, from the transformer's scale to the decoder's": z * s + m,
        "the deviation works the wrong way round: wide channels become wider": (z - m) * s,
        "mean and deviation have changed places": (z - s) / m,
        "the mean was forgotten: channels end up with the right width in the wrong place": z / s,
        "the deviation was forgotten: channels sit at 0 and are as wide as before": z - m,
        "that uses the variance, the square of what the config holds": (z - m) / s**2,
        "only the first of the two steps is as it should be: the mean counts before the width "
        "changes, not after": z / s - m,
        "the division came first, and the mean was divided before it was subtracted: brackets": z
        - m / s,
        "mean and deviation belong to channels; yours vary along the columns, and nothing "
        "complained because there are as many columns as channels": (z - mean) / std,
        "yours are the mean and deviation of this one picture; the transformer was trained with "
        "those of the config, which are the same for all": (z - z.mean((0, 2, 3), keepdim=True))
        / z.std((0, 2, 3), keepdim=True),
    }
    for hint, wrong in mistakes.items():
        need(not _near(answer, wrong), hint)
    right = EX_04_STATS(z, mean, std)
    need(
        _near(answer, right), f"off by {(answer - right).abs().max().item():.2g} at the worst place"
    )
    for batch, channels, rows, columns in ((1, 16, 5, 3), (3, 2, 1, 7)):
        mean, std = torch.randn(channels, generator=generator), torch.arange(1.0, 1 + channels)
        z = torch.randn(batch, channels, rows, columns, generator=generator)
        need_same(
            *(normalise, EX_04_STATS, _near, (z, mean, std)),
            f"right for 4 channels, not for {channels} of {rows} x {columns} in a batch of {batch}",
        )
    return "every channel at 0 with deviation 1, whatever its range was"


def _near(a, b) -> bool:
    return a.shape == b.shape and (a - b).abs().max().item() < 1e-4


# --- repeated and convolved


@exercise
def ex_04_enlarge(enlarge) -> str:
    """enlarge(x (B, C, h, w), weight (out, C, 3, 3), bias (out,)) -> (B, out, 2h, 2w)"""
    for B, C, out, h, w in ((2, 3, 5, 7, 4), (1, 4, 2, 5, 9), (3, 2, 1, 1, 1)):
        case = (
            numbers(B, C, h, w, seed=h),
            numbers(out, C, 3, 3, seed=1),
            numbers(out, seed=2),
        )
        answer = enlarge(*case)
        demand_shape(answer, (B, out, 2 * h, 2 * w), "of (B, out, 2h, 2w)")
        if h > 1:  # with a single number, several mistakes give the same
            need_none(answer, _ENLARGE_MISTAKES, _near, *case)
        right = _plain(*case)
        need(
            _near(answer, right),
            f"for {h} x {w} numbers in {C} channels, {(answer - right).abs().max():.2g} off at the "
            "worst place; write a row of three numbers down as six, and compare",
        )
    case = [tensor.double() for tensor in case]
    need(
        enlarge(*case).dtype == torch.float64,
        "x is float64 here and your result is not; make new tensors in the type of x",
    )
    _count_products(enlarge)
    return "the large picture, and no product is computed twice"


def _count_products(enlarge) -> None:
    h, w, C, out = 20, 30, 3, 4
    case = numbers(1, C, h, w), numbers(out, C, 3, 3), numbers(out)
    with FlopCounterMode(display=False) as counter:
        enlarge(*case)
    each = counter.get_total_flops() / (2 * C * out * h * w)
    # careful: a window more in each direction is allowed, and weights may be added up by products
    need(
        each < 22,
        f"the numbers are right, but for each number of x there are {each:.0f} products (for one "
        "pair of channels) where 16 are enough; convolve x itself, not the large picture",
    )


def _plain(x, weight, bias):
    return F.conv2d(_repeated(x), weight, bias, padding=1)


def _repeated(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _spread(x, weight, bias):
    """Zeros between the numbers in the place of copies."""
    large = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    large[:, :, ::2, ::2] = x
    return F.conv2d(large, weight, bias, padding=1)


def _enlarged(
    *pairs, places=(0, 1), windows=(0, 1), mode="constant", tiled=False, rows=True, columns=True
):
    """Four kernels with one mistake. pairs: of even and of odd places, two sums of weights each."""
    right = ((0,), (1, 2)), ((0, 1), (2,))

    def added(kernel, axis, chosen):
        parts = [kernel.unbind(axis)[i] for i in range(3)]
        return [
            torch.stack([sum(parts[i] for i in sums) for sums in pair], axis) for pair in chosen
        ]

    def wrong(x, weight, bias):
        (h, w), bordered = x.shape[2:], F.pad(x, (1, 1, 1, 1), mode=mode)
        large = x.new_empty(len(x), len(bias), 2 * h, 2 * w)
        for row, half in enumerate(added(weight, 2, pairs or right if rows else right)):
            top, to_row = (windows[row], places[row]) if rows else (row, row)
            for column, kernel in enumerate(added(half, 3, pairs or right if columns else right)):
                left, to_column = (windows[column], places[column]) if columns else (column, column)
                window = bordered[:, :, top : top + h + 1, left : left + w + 1]
                part = F.conv2d(window, kernel, bias)
                if tiled:
                    large[:, :, row * h :, column * w :][:, :, :h, :w] = part
                else:
                    large[:, :, to_row::2, to_column::2] = part
        return large

    return wrong


def _both(hint, *pairs, **options):
    """A mistake along both axes, along the rows alone, and along the columns alone."""
    return [
        (_enlarged(*pairs, **options), hint),
        (_enlarged(*pairs, columns=False, **options), f"along the rows (axis 2): {hint}"),
        (_enlarged(*pairs, rows=False, **options), f"along the columns (axis 3): {hint}"),
    ]


_ENLARGE_MISTAKES = [
    (lambda x, w, b: _repeated(F.conv2d(x, w, b, padding=1)),
     "that convolves the small picture and repeats the result; in the right one the four numbers "
     "of a square differ"),
    (_spread, "that puts zeros between the numbers; every number is repeated"),
    (lambda x, w, b: F.conv2d(F.interpolate(x, scale_factor=2, mode="bilinear"), w, b, padding=1),
     "that interpolates between the numbers; every number is repeated as it is"),
    (lambda x, w, b: _plain(x, w, 0 * b), "the bias is missing"),
    (lambda x, w, b: _plain(x, w, 4 * b), "the bias is added four times; every number of the "
     "result comes from one of the four convolutions, which adds it once"),
    (lambda x, w, b: _plain(x, w.mT, b), "rows and columns are exchanged: axis 2 of the weight "
     "belongs to the rows"),
    (lambda x, w, b: _plain(x, w.flip(2, 3), b), "the weights are in reversed order"),
    (_enlarged(tiled=True), "the four results lie side by side; they belong into every second row "
     "and column"),
    (_enlarged(mode="replicate"), "at the edges yours continues the picture; around it are zeros"),
    *_both("the results for even and odd places are exchanged", places=(1, 0)),
    *_both("the kernels are right, but all begin at the border; the kernels of odd places begin "
           "with their own number", windows=(0, 0)),
    *_both("the kernels are right, but none meets the border before the picture; those of even "
           "places begin one number earlier", windows=(1, 1)),
    *_both("the kernels are right, but the windows of even and odd places are exchanged",
           windows=(1, 0)),
    *_both("the sums for even and odd places are exchanged: which of the three weights meet the "
           "number itself, and which one its neighbour?", ((0, 1), (2,)), ((0,), (1, 2))),
    *_both("of three weights yours uses two in each kernel; two that meet the same number are "
           "added",
           ((0,), (1,)), ((1,), (2,))),
    *_both("the middle weight counts twice; it meets the number itself and nothing else",
           ((0, 1), (1, 2)), ((0, 1), (1, 2))),
]  # fmt: skip
