"""Shifts by the size of the picture, as the base model does."""

import math

import torch

HINT = "depends on the size of the picture"


def answer(steps, shift=3.0, image_tokens=6889):
    mu = 0.5 + (image_tokens - 256) * 0.4 / (8192 - 256)
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([math.exp(mu) / (math.exp(mu) + (1 / s - 1)), torch.zeros(1)])
