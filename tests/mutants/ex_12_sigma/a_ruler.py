"""Evenly spaced levels in place of drawn ones."""

import torch

from qwenimage_ref.course.answers import EX_12_SIGMA

HINT = "generators of two seeds gave the same levels"


def answer(kind, count, generator):
    if kind == "uniform":
        return torch.linspace(0, 1, count)
    return EX_12_SIGMA(kind, count, generator)
