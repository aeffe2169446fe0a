"""Gives time zero to the target."""

import torch
import torch.nn.functional as F

HINT = "rows are exchanged"


def answer(img, temb, linear, sublayers, target):
    times = (torch.arange(img.shape[1]) < target).long()
    numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
    for sublayer, (shift, scale, gate) in zip(sublayers, (numbers[:3], numbers[3:])):
        normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
        img = img + gate * sublayer(normed * (1 + scale) + shift)
    return img
