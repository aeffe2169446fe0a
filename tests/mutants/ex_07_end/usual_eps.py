"""The eps that torch takes."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = F.layer_norm(img, img.shape[-1:])
    return proj_out(normed * (1 + scale) + shift)


HINT = "not for tiny ones"
