"""Turns neighbours but returns all first numbers, then all second ones."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c, s = angle.cos(), angle.sin()
    return torch.cat([a * c - b * s, a * s + b * c], dim=-1)


HINT = "in another order"
