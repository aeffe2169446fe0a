"""Stretches the even levels."""

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    done = 1 - even
    levels = 1 - done * (1 - terminal) / done[-1]
    return torch.cat([levels, torch.zeros(1)])


HINT = "stretched and not shifted"
