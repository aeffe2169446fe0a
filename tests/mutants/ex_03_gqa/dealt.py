"""Deals the key-value heads out like cards: 0, 1, 2, 0, 1, 2."""

import torch

HINT = "dealt like cards"


def answer(q, k, v):
    B, H, T, K = q.shape
    k, v = (x.repeat(1, H // x.shape[1], 1, 1) for x in (k, v))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = q @ k.transpose(-1, -2) / K**0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v
