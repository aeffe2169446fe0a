"""The lower layer at its full strength."""

import torch


def answer(top, bottom):
    a, b = top[3:], bottom[3:]
    alpha = a + (1 - a) * b
    return torch.cat([(a * top[:3] + b * bottom[:3]) / alpha.clamp(min=1e-8), alpha])


HINT = "shines through at its full strength"
