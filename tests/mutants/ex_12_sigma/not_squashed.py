"""Takes normal numbers for levels."""

import torch

HINT = "outside of 0 to 1"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    sigma = torch.randn(count, generator=generator)
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)
