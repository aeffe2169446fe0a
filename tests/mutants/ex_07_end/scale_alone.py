"""Forgets the 1."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
    return proj_out(normed * scale + shift)


HINT = "the scale alone multiplies"
