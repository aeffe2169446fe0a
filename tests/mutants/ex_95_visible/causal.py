"""The causal mask of a language model."""

import math

import torch


def answer(layout):
    size = sum(part if isinstance(part, int) else math.prod(part) for part in layout)
    return torch.ones(size, size, dtype=torch.bool).tril()


HINT = "causal mask of a language model"
