"""Turns every pair equally fast."""

import torch


def answer(x, places, theta):
    K = x.shape[-1]
    angle = torch.outer(places, torch.ones(K // 2))
    a, b = x.chunk(2, dim=-1)
    new_a, new_b = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.cat([new_a, new_b], dim=-1)


HINT = "every pair turns equally fast"
