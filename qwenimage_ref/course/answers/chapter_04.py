"""Chapter 04: pictures to latents and back."""

import torch
import torch.nn.functional as F


def EX_04_TAPS(kernel):
    """Two frames of nothing stand before the picture, so only the last tap meets it."""
    return kernel[:, :, -1]


def EX_04_STATS(z, mean, std):
    """Mean 0 and deviation 1 for each channel, the second axis of z."""
    return (z - mean[:, None, None]) / std[:, None, None]


def EX_04_ENLARGE(x, weight, bias):
    """Even places see the number before and their own, odd ones their own and the next."""

    def even_and_odd(kernel, axis):
        first, middle, last = kernel.unbind(axis)
        pairs = (first, middle + last), (first + middle, last)
        return [torch.stack(pair, axis) for pair in pairs]

    h, w = x.shape[2:]
    large = x.new_empty(len(x), len(bias), 2 * h, 2 * w)
    bordered = F.pad(x, (1, 1, 1, 1))
    for row, half in enumerate(even_and_odd(weight, 2)):
        for column, kernel in enumerate(even_and_odd(half, 3)):
            window = bordered[:, :, row : row + h + 1, column : column + w + 1]
            large[:, :, row::2, column::2] = F.conv2d(window, kernel, bias)
    return large


SPOILERS = {
    "ex_04_taps": {"kernel", "last", "final", "third"},
    "ex_04_enlarge": {"unbind", "stack", "enumerate", "even_and_odd", "einsum", "pixel_shuffle"},
    "ex_04_stats": {"None", "view", "reshape", "subtract", "divide"},
}
