"""Divides by K instead of its root."""

import torch
import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    logits = q @ k.transpose(-1, -2) / q.shape[-1]
    return logits.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1) @ v


HINT = "on their scale"
