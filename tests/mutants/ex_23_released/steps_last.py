"""Has the steps behind rows and columns."""

import torch

HINT = "want (8, 3, 5)"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return (number >= first).permute(1, 2, 0)
