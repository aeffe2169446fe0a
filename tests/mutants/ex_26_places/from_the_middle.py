"""From the middle of the picture."""

import torch

HINT = "not in its middle"


def answer(lengths, rows, cols):
    start = 0
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
