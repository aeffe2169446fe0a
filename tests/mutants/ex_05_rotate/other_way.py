"""The sines have the wrong signs."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c, s = angle.cos(), angle.sin()
    return torch.stack([a * c + b * s, b * c - a * s], dim=-1).flatten(-2)


HINT = "turns the other way"
