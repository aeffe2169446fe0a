"""Appends the 0 before it stretches."""

import torch

HINT = "final 0 along"


def answer(levels, terminal):
    levels = torch.cat([levels, torch.zeros(1)])
    left = 1 - levels
    return (1 - left * (1 - terminal) / left[-1])[:-1]
