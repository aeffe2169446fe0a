"""The pairs of the transformer."""

import torch


def answer(x, places, theta):
    K = x.shape[-1]
    angle = torch.outer(places, theta ** -(torch.arange(0, K, 2) / K))
    a, b = x[..., 0::2], x[..., 1::2]
    new_a, new_b = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.stack([new_a, new_b], dim=-1).flatten(-2)


HINT = "neighbours turn together"
