"""Shifts uniform numbers."""

import torch

HINT = "shifts the flat kind"


def answer(kind, count, generator):
    if kind == "logit-normal":
        return torch.sigmoid(torch.randn(count, generator=generator))
    sigma = torch.rand(count, generator=generator)
    return 2 * sigma / (1 + sigma) if kind == "shifted" else sigma
