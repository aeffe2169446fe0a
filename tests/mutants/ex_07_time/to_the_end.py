"""Counts to the last exponent."""

import torch
import torch.nn.functional as F


def answer(sigma, linear_1, linear_2):
    angle = 1000 * sigma[:, None] * 10000 ** -(torch.arange(128) / 127)
    waves = torch.cat([angle.cos(), angle.sin()], dim=1)
    return linear_2(F.silu(linear_1(waves)))


HINT = "the last exponent is -1"
