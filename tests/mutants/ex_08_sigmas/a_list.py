"""Gives a list."""

import math

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    levels = math.exp(mu) / (math.exp(mu) + (1 / even - 1))
    done = 1 - levels
    levels = 1 - done * (1 - terminal) / done[-1]
    return [*levels.tolist(), 0.0]


HINT = "give the levels as one tensor"
