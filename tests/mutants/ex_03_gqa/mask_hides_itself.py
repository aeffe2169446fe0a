"""Hides the token from itself."""

import torch

HINT = "NaN"


def answer(q, k, v):
    B, H, T, K = q.shape
    k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    hidden = torch.ones(T, T, dtype=torch.bool).triu()
    scores = q @ k.transpose(-1, -2) / K**0.5
    return scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v
