"""Draws from torch's own stream."""

import torch

HINT = "the generator you are handed"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.rand(count)
    sigma = torch.sigmoid(torch.randn(count))
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)
