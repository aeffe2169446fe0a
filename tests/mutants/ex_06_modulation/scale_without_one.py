"""Multiplies by the scale itself."""

import torch.nn.functional as F


def answer(x, shift, scale, gate, part):
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return x + gate * part(normed * scale + shift)


HINT = "a scale of 0"
