"""The line of the other models."""

import torch


def answer(steps, width, height, layers):
    shift = torch.tensor(0.5 + 0.4 / 7936 * (width * height / 256 - 256)).exp()
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


HINT = "the rule of the other models"
