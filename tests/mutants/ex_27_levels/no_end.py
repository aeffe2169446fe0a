"""Without the 0 at the end."""

import torch


def answer(steps, width, height, layers):
    shift = (width * height / 65536) ** 0.5
    s = torch.linspace(1, 1 / steps, steps)
    return shift / (shift + 1 / s - 1)


HINT = "the last level is missing"
