"""Stretched to end at 0.02."""

import torch


def answer(steps, width, height, layers):
    shift = (width * height / 65536) ** 0.5
    s = torch.linspace(1, 1 / steps, steps)
    done = 1 - shift / (shift + 1 / s - 1)
    return torch.cat([1 - done * 0.98 / done[-1], torch.zeros(1)])


HINT = "stretched to end at 0.02"
