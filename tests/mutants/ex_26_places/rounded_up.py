"""Odd sides rounded up."""

import torch

HINT = "is rounded down"


def answer(lengths, rows, cols):
    start = (max(rows, cols) + 1) // 2
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
