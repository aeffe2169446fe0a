"""Writes the result into x."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c, s = angle.cos(), angle.sin()
    x[:] = torch.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2)
    return x


HINT = "changes its argument x itself"
