"""One place too late."""

import torch

HINT = "one place too late"


def answer(lengths, rows, cols):
    start = max(rows // 2, cols // 2) + 1
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
