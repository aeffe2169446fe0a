"""Shifts towards the data."""

import torch

HINT = "moved the wrong way"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([s / (s + shift * (1 - s)), torch.zeros(1)])
