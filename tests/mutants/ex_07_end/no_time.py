"""Forgets the noise level."""

import torch.nn.functional as F


def answer(img, temb, linear, proj_out):
    return proj_out(F.layer_norm(img, img.shape[-1:], eps=1e-6))


HINT = "the noise level plays no part"
