"""Turns clockwise."""

import torch


def answer(x, places, theta):
    K = x.shape[-1]
    angle = torch.outer(places, theta ** -(torch.arange(0, K, 2) / K))
    a, b = x.chunk(2, dim=-1)
    new_a, new_b = a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()
    return torch.cat([new_a, new_b], dim=-1)


HINT = "that turns the other way"
