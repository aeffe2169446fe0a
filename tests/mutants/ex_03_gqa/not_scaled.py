"""Does not scale at all."""

import torch

HINT = "not divided"


def answer(q, k, v):
    T = q.shape[2]
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    return (q @ k.transpose(-1, -2)).masked_fill(later, -torch.inf).softmax(-1) @ v
