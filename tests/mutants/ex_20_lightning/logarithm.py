"""Puts the number of the config file, ln 3, where the shift belongs."""

import math

import torch

HINT = "the logarithm of the shift"


def answer(steps, shift=3.0):
    s = torch.linspace(1, 1 / steps, steps)
    mu = math.log(shift)
    return torch.cat([mu / (mu + (1 / s - 1)), torch.zeros(1)])
