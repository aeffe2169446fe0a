"""Spaces N + 1 levels."""

import math

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / (steps + 1), steps)
    levels = math.exp(mu) / (math.exp(mu) + (1 / even - 1))
    done = 1 - levels
    levels = 1 - done * (1 - terminal) / done[-1]
    return torch.cat([levels, torch.zeros(1)])


HINT = "the last of N is 1 / N"
