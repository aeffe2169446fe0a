"""Gives the noise level to every token, as the earlier models do."""

import torch
import torch.nn.functional as F

HINT = "as before Edit-2511"


def answer(img, temb, linear, sublayers, target):
    times = torch.zeros(img.shape[1], dtype=torch.long)
    numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
    for sublayer, (shift, scale, gate) in zip(sublayers, (numbers[:3], numbers[3:])):
        normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
        img = img + gate * sublayer(normed * (1 + scale) + shift)
    return img
