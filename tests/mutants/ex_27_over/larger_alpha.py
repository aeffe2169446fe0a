"""The larger alpha."""

import torch


def answer(top, bottom):
    a, b = top[3:], bottom[3:]
    alpha = a + (1 - a) * b
    light = a * top[:3] + (1 - a) * b * bottom[:3]
    return torch.cat([light / alpha.clamp(min=1e-8), torch.maximum(a, b)])


HINT = "the larger of the two"
