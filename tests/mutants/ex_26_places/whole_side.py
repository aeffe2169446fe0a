"""From a whole side on."""

import torch

HINT = "lies half of a side"


def answer(lengths, rows, cols):
    start = max(rows, cols)
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
