"""Takes the strength for a level of a plain schedule."""

import torch

HINT = "first step"


def answer(change, steps):
    levels = torch.linspace(1, 0, steps).view(-1, 1, 1)
    return (levels <= change) & (change > 0)
