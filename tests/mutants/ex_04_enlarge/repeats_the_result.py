"""Convolves the small picture and repeats what comes out."""

import torch.nn.functional as F

HINT = "repeats the result"


def answer(x, weight, bias):
    return F.interpolate(F.conv2d(x, weight, bias, padding=1), scale_factor=2)
