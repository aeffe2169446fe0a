"""Takes 1/steps for the end of the way."""

import torch

HINT = "where noise is left"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / (steps + 1), steps + 1)
    return shift / (shift + (1 / s - 1))
