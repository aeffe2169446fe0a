"""Begins with uniform numbers throughout."""

import torch

HINT = "yours is flat"


def answer(kind, count, generator):
    sigma = torch.rand(count, generator=generator)
    return 2 * sigma / (1 + sigma) if kind == "shifted" else sigma
