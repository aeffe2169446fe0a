"""Forgets the norm."""

import torch
import torch.nn.functional as F

HINT = "is normalised before"


def answer(img, temb, linear, sublayers, target):
    times = (torch.arange(img.shape[1]) >= target).long()
    numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
    for sublayer, (shift, scale, gate) in zip(sublayers, (numbers[:3], numbers[3:])):
        normed = img
        img = img + gate * sublayer(normed * (1 + scale) + shift)
    return img
