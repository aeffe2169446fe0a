"""Lets everyone read everything."""

import torch

HINT = "reaches earlier ones"


def answer(q, k, v):
    group, K = q.shape[1] // k.shape[1], q.shape[-1]
    k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
    return (q @ k.transpose(-1, -2) / torch.tensor(K).sqrt()).softmax(-1) @ v
