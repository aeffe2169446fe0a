"""Scales instead of turning."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c = angle.cos()
    return torch.stack([a * c, b * c], dim=-1).flatten(-2)


HINT = "longer or shorter"
