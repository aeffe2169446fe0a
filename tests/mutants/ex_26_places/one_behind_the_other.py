"""Texts in one row."""

import torch

HINT = "march on one behind the other"


def answer(lengths, rows, cols):
    start = max(rows // 2, cols // 2)
    runs = [torch.arange(start, start + sum(lengths))]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
