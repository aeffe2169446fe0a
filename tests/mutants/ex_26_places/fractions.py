"""Halves of odd sides."""

import torch

HINT = "places are integers"


def answer(lengths, rows, cols):
    start = max(rows, cols) / 2
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
