"""Keeps the terminal stretch of the model's own schedule."""

import torch

HINT = "Lightning has none"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / steps, steps)
    s = shift / (shift + (1 / s - 1))
    if steps > 1:
        done = 1 - s
        s = 1 - done * 0.98 / done[-1]
    return torch.cat([s, torch.zeros(1)])
