"""Spaces the levels for one step more."""

import torch

HINT = "before the shift, the last of the"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / (steps + 1), steps)
    return torch.cat([shift / (shift + (1 / s - 1)), torch.zeros(1)])
