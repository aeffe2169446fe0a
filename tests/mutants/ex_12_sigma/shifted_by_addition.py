"""Adds the shift, not its logarithm, before squashing."""

import torch

HINT = "shifted: shares below"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    z = torch.randn(count, generator=generator)
    return torch.sigmoid(z + 2 * (kind == "shifted"))
