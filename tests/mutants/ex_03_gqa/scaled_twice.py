"""Forgets the square root."""

import torch

HINT = "not by its square root"


def answer(q, k, v):
    B, H, T, K = q.shape
    k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    return (q @ k.transpose(-1, -2) / K).masked_fill(later, -torch.inf).softmax(-1) @ v
