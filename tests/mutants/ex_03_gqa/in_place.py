"""Scales the queries where they are."""

import torch

HINT = "changes its argument q itself"


def answer(q, k, v):
    T, K = q.shape[2:]
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    q *= K**-0.5
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    return (q @ k.transpose(-1, -2)).masked_fill(later, -torch.inf).softmax(-1) @ v
