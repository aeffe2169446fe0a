"""All tokens see all."""

import math

import torch


def answer(layout):
    size = sum(part if isinstance(part, int) else math.prod(part) for part in layout)
    return torch.ones(size, size, dtype=torch.bool)


HINT = "all tokens see all"
