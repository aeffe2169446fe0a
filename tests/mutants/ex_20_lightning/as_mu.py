"""Takes the shift for mu."""

import math

import torch

HINT = "mu is the exponent"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / steps, steps)
    shift = math.exp(shift)
    return torch.cat([shift / (shift + (1 / s - 1)), torch.zeros(1)])
