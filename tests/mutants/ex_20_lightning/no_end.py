"""Leaves out the level at which the last step ends."""

import torch

HINT = "where does the last step end"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / steps, steps)
    return shift / (shift + (1 / s - 1))
