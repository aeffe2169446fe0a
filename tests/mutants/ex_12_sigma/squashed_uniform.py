"""Squashes uniform numbers instead of normal ones."""

import torch

HINT = "logit-normal: shares below"


def answer(kind, count, generator):
    sigma = torch.rand(count, generator=generator)
    if kind == "uniform":
        return sigma
    sigma = torch.sigmoid(sigma)
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)
