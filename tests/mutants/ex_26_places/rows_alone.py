"""From half of the rows on."""

import torch

HINT = "be it rows or columns"


def answer(lengths, rows, cols):
    start = rows // 2
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1).repeat(1, 3)
