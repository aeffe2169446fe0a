"""Runs target and pictures one after the other."""

import torch
import torch.nn.functional as F

HINT = "through a sublayer together"


def half(img, numbers, sublayer):
    shift, scale, gate = numbers
    normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
    return img + gate * sublayer(normed * (1 + scale) + shift)


def answer(img, temb, linear, sublayers, target):
    parts = []
    for part, row in ((img[:, :target], temb[:, :1]), (img[:, target:], temb[:, 1:])):
        numbers = linear(F.silu(row)).chunk(6, dim=-1)
        part = half(part, numbers[:3], sublayers[0])
        parts.append(half(part, numbers[3:], sublayers[1]))
    return torch.cat(parts, dim=1)
