"""Forgets the shift."""

import torch

HINT = "still have to be shifted"


def answer(steps, shift=3.0):
    return torch.linspace(1, 0, steps + 1)
