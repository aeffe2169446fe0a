"""Light instead of colours."""

import torch


def answer(top, bottom):
    a, b = top[3:], bottom[3:]
    return torch.cat([a * top[:3] + (1 - a) * b * bottom[:3], a + (1 - a) * b])


HINT = "divide by the alpha of both together"
