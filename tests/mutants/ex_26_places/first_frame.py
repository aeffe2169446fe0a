"""In the first frame."""

import torch

HINT = "along all three axes"


def answer(lengths, rows, cols):
    start = max(rows // 2, cols // 2)
    runs = [torch.arange(start, start + length) for length in lengths]
    return torch.cat(runs).unsqueeze(1) * torch.tensor([0, 1, 1])
