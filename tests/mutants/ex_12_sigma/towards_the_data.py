"""Shifts the wrong way."""

import torch

HINT = "towards the data"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return sigma if kind == "logit-normal" else sigma / (2 - sigma)
