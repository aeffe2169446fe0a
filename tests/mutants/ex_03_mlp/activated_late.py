"""Activates the product."""

import torch.nn.functional as F


def answer(y, gate, up, down):
    g, u = y @ gate.T, y @ up.T
    return F.silu(g * u) @ down.T


HINT = "after the product"
