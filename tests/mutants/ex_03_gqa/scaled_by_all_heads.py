"""Divides by the root of D, all heads together."""

import torch

HINT = "width of all heads"


def answer(q, k, v):
    B, H, T, K = q.shape
    k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = q @ k.transpose(-1, -2) / (H * K) ** 0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v
