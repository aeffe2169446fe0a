"""Forgets the projection."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
    return normed * (1 + scale) + shift


HINT = "as wide as what proj_out gives"
