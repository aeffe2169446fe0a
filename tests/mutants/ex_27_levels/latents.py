"""Latents instead of tokens."""

import torch


def answer(steps, width, height, layers):
    shift = (width // 8 * (height // 8) / 256) ** 0.5
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


HINT = "these are latents"
