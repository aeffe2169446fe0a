"""Evenly spaced."""

import torch


def answer(steps, width, height, layers):
    shift = 1.0
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


HINT = "nothing is shifted yet"
