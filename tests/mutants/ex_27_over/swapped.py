"""The upper layer lies below."""

import torch


def answer(top, bottom):
    a, b = bottom[3:], top[3:]
    alpha = a + (1 - a) * b
    light = a * bottom[:3] + (1 - a) * b * top[:3]
    return torch.cat([light / alpha.clamp(min=1e-8), alpha])


HINT = "the first argument lies on top"
