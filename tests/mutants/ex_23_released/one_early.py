"""Counts the levels instead of the steps."""

import torch

HINT = "one step early"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return number + 1 >= first
