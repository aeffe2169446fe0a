"""Releases small strengths first."""

import torch

HINT = "released earlier"


def answer(change, steps):
    first = (steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return number >= first
