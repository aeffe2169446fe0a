"""Forgets the shift."""

import torch

HINT = "nothing has moved"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    return torch.sigmoid(torch.randn(count, generator=generator))
