"""Averages the queries of a group: one answer for all of them."""

import torch

HINT = "heads came back"


def answer(q, k, v):
    B, H, T, K = q.shape
    q = q.unflatten(1, (k.shape[1], -1)).mean(2)
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = q @ k.transpose(-1, -2) / K**0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v
