"""Repeats first: the right numbers from 36 products."""

import torch.nn.functional as F

HINT = "36 products"


def answer(x, weight, bias):
    return F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)
