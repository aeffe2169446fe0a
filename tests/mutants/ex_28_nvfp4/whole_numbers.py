"""Whole numbers from -8 to 7."""

import torch


def answer(packed, scales, whole):
    codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten().float()
    return torch.where(codes > 7, codes - 16, codes) * scales.repeat_interleave(16) * whole


HINT = "not integers"
