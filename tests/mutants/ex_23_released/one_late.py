"""Holds the first step, too."""

import torch

HINT = "one step late"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return number > first
