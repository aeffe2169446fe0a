"""A transposed convolution, which puts zeros between the numbers."""

import torch.nn.functional as F

HINT = "zeros between the numbers"


def answer(x, weight, bias):
    turned = weight.flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(x, turned, bias, stride=2, padding=1, output_padding=1)
