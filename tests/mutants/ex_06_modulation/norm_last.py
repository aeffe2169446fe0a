"""Modulates, then normalises."""

import torch.nn.functional as F


def answer(x, shift, scale, gate, part):
    y = x * (1 + scale) + shift
    return x + gate * part(F.layer_norm(y, y.shape[-1:], eps=1e-6))


HINT = "the norm is first"
