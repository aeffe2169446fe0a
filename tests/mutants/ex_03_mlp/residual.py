"""Adds the input."""

import torch.nn.functional as F


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return y + (F.silu(g) * u) @ down.T


HINT = "y is added"
