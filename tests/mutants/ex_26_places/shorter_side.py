"""The shorter side."""

import torch

HINT = "you take the shorter one"


def answer(lengths, rows, cols):
    start = min(rows // 2, cols // 2)
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
