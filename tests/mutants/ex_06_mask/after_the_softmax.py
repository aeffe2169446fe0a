"""Strikes padding out of the finished shares."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights * seen[:, None, None]) @ v


HINT = "before the softmax"
