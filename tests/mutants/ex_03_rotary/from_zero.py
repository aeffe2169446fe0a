"""Counts the places itself."""

import torch


def answer(x, places, theta):
    K = x.shape[-1]
    angle = torch.outer(torch.arange(x.shape[2]).float(), theta ** -(torch.arange(0, K, 2) / K))
    a, b = x.chunk(2, dim=-1)
    new_a, new_b = a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()
    return torch.cat([new_a, new_b], dim=-1)


HINT = "the places are counted from 0"
