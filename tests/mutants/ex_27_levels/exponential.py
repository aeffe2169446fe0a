"""The root as an exponent."""

import torch


def answer(steps, width, height, layers):
    shift = torch.tensor(width * height / 65536).sqrt().exp()
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


HINT = "exponential form"
