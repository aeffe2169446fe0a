"""All frames are counted."""

import torch


def answer(steps, width, height, layers):
    shift = ((layers + 1) * width * height / 65536) ** 0.5
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


HINT = "the tokens of all frames"
