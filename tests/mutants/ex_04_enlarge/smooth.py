"""Interpolates before it convolves."""

import torch.nn.functional as F

HINT = "interpolates between the numbers"


def answer(x, weight, bias):
    large = F.interpolate(x, scale_factor=2, mode="bilinear")
    return F.conv2d(large, weight, bias, padding=1)
