"""Skips a step more where it does not divide."""

import torch

HINT = "skip one less"


def answer(change, steps):
    first = (steps - steps * change).ceil()
    number = torch.arange(steps).view(-1, 1, 1)
    return number >= first
