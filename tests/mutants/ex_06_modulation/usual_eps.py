"""Leaves layer_norm its own 1e-5."""

import torch.nn.functional as F


def answer(x, shift, scale, gate, part):
    return x + gate * part(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)


HINT = "not for tiny ones"
