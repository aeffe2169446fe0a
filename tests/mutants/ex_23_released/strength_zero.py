"""Lets the last step change everything."""

import torch

HINT = "strength 0"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return number >= first.clamp(max=steps - 1)
