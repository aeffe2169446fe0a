"""Spaces down to 0 and appends another one."""

import torch

HINT = "have to fall at every step"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 0, steps)
    return torch.cat([shift * s / (1 + (shift - 1) * s), torch.zeros(1)])
