"""Stretches and then shifts."""

import math

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    done = 1 - even
    levels = 1 - done * (1 - terminal) / done[-1]
    levels = math.exp(mu) / (math.exp(mu) + (1 / levels - 1))
    return torch.cat([levels, torch.zeros(1)])


HINT = "stretched first and shifted afterwards"
