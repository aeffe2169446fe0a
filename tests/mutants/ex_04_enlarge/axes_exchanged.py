"""Takes the rows of the kernel for its columns."""

import torch
import torch.nn.functional as F

HINT = "rows and columns are exchanged"


def answer(x, weight, bias):
    h, w = x.shape[2:]
    large = x.new_empty(len(x), len(bias), 2 * h, 2 * w)
    bordered = F.pad(x, (1, 1, 1, 1))
    for row in (0, 1):
        for column in (0, 1):
            kernel = added(added(weight, 2, column), 3, row).mT
            window = bordered[:, :, row : row + h + 1, column : column + w + 1]
            large[:, :, row::2, column::2] = F.conv2d(window, kernel, bias)
    return large


def added(kernel, axis, odd):
    first, middle, last = kernel.unbind(axis)
    pair = (first + middle, last) if odd else (first, middle + last)
    return torch.stack(pair, axis)
