"""0 / 0 where nothing is."""

import torch


def answer(top, bottom):
    a, b = top[3:], bottom[3:]
    alpha = a + (1 - a) * b
    return torch.cat([(a * top[:3] + (1 - a) * b * bottom[:3]) / alpha, alpha])


HINT = "0 is divided by 0"
