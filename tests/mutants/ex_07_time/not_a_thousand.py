"""Forgets the 1000."""

import torch
import torch.nn.functional as F


def answer(sigma, linear_1, linear_2):
    angle = 1 * sigma[:, None] * 10000 ** -(torch.arange(128) / 128)
    waves = torch.cat([angle.cos(), angle.sin()], dim=1)
    return linear_2(F.silu(linear_1(waves)))


HINT = "a thousand times too small"
