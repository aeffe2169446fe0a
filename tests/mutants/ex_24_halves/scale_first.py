"""Takes the order of the last layer."""

import torch
import torch.nn.functional as F

HINT = "shift, scale, gate"


def answer(img, temb, linear, sublayers, target):
    times = (torch.arange(img.shape[1]) >= target).long()
    numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
    for sublayer, (shift, scale, gate) in zip(
        sublayers, ((numbers[1], numbers[0], numbers[2]), (numbers[4], numbers[3], numbers[5]))
    ):
        normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
        img = img + gate * sublayer(normed * (1 + scale) + shift)
    return img
