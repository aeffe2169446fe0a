"""Hides the future when it has taken its share."""

import torch

HINT = "already taken its share"


def answer(q, k, v):
    B, H, T, K = q.shape
    k, v = (x.repeat_interleave(H // x.shape[1], dim=1) for x in (k, v))
    return ((q @ k.transpose(-1, -2) / K**0.5).softmax(-1) * torch.ones(T, T).tril()) @ v
