"""Forgets the norm."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = img
    return proj_out(normed * (1 + scale) + shift)


HINT = "not normalised"
