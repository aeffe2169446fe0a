"""The sign is not read."""

import torch


def answer(packed, scales, whole):
    codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten()
    exponent, fraction = (codes >> 1 & 3).float(), (codes & 1) / 2
    size = torch.where(exponent == 0, fraction, 2 ** (exponent - 1) * (1 + fraction))
    return size * scales.repeat_interleave(16) * whole


HINT = "below zero"
