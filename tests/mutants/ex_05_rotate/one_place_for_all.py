"""Turns every token by the angles of the first."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c, s = angle[0].cos(), angle[0].sin()
    return torch.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2)


HINT = "own place"
