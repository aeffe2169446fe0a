"""Scales the map in place."""

import torch

HINT = "changes its argument change itself"


def answer(change, steps):
    first = (steps - change.mul_(steps)).floor()
    return torch.arange(steps).view(-1, 1, 1) >= first
