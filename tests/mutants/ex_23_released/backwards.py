"""Releases from the end."""

import torch

HINT = "other way"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return (number >= first).flip(0)
