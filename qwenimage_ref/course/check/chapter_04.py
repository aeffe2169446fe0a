"""Chapter 04: pictures to latents and back."""

import torch
import torch.nn.functional as F

from ..answers import EX_04_STATS
from .common import exercise, need, need_same


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
