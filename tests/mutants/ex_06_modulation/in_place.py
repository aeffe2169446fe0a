"""Adds into x itself."""

import torch.nn.functional as F


def answer(x, shift, scale, gate, part):
    x += gate * part(F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)
    return x


HINT = "changes its argument x itself"
