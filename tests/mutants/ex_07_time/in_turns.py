"""Cosine, sine, cosine, sine."""

import torch
import torch.nn.functional as F


def answer(sigma, linear_1, linear_2):
    angle = 1000 * sigma[:, None] * 10000 ** -(torch.arange(128) / 128)
    waves = torch.stack([angle.cos(), angle.sin()], dim=-1).flatten(1)
    return linear_2(F.silu(linear_1(waves)))


HINT = "take turns in yours"
