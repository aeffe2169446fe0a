"""Stretches the 0, too."""

import math

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    levels = math.exp(mu) / (math.exp(mu) + (1 / even - 1))
    levels = torch.cat([levels, torch.zeros(1)])
    done = 1 - levels
    levels = 1 - done * (1 - terminal) / done[-1]
    return levels


HINT = "or noise is left"
