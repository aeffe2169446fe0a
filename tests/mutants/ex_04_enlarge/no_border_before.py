"""Every kernel begins with the number itself."""

import torch
import torch.nn.functional as F

HINT = "begin one number earlier"


def answer(x, weight, bias):
    h, w = x.shape[2:]
    large = x.new_empty(len(x), len(bias), 2 * h, 2 * w)
    bordered = F.pad(x, (1, 1, 1, 1))
    for row in (0, 1):
        for column in (0, 1):
            kernel = added(added(weight, 2, row), 3, column)
            window = bordered[:, :, 1:, 1:]
            large[:, :, row::2, column::2] = F.conv2d(window, kernel, bias)
    return large


def added(kernel, axis, odd):
    first, middle, last = kernel.unbind(axis)
    pair = (first + middle, last) if odd else (first, middle + last)
    return torch.stack(pair, axis)
