"""Lets every query head read key-value head 0."""

import torch

HINT = "every key-value head has"


def answer(q, k, v):
    T, K = q.shape[2:]
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = q @ k[:, :1].transpose(-1, -2) / K**0.5
    return scores.masked_fill(later, -torch.inf).softmax(-1) @ v[:, :1]
