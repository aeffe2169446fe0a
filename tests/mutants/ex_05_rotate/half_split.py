"""Pairs a number with the one half a head away, as language models do."""

import torch


def answer(x, angle):
    a, b = x.chunk(2, dim=-1)
    c, s = angle.cos(), angle.sin()
    return torch.cat([a * c - b * s, a * s + b * c], dim=-1)


HINT = "neighbours"
