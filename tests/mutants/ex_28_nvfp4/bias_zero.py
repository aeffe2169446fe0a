"""Bias 0."""

import torch


def answer(packed, scales, whole):
    codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten()
    sign = torch.where(codes >> 3 == 1, -1.0, 1.0)
    exponent, fraction = (codes >> 1 & 3).float(), (codes & 1) / 2
    size = torch.where(exponent == 0, 2 * fraction, 2**exponent * (1 + fraction))
    return sign * size * scales.repeat_interleave(16) * whole


HINT = "twice as large"
