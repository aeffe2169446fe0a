"""An RMSNorm."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = img / (img.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return proj_out(normed * (1 + scale) + shift)


HINT = "the mean is not subtracted"
