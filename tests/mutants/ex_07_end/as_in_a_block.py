"""The order of the blocks."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    shift, scale = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
    return proj_out(normed * (1 + scale) + shift)


HINT = "taken for the shift"
