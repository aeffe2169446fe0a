"""Only shifts."""

import math

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    levels = math.exp(mu) / (math.exp(mu) + (1 / even - 1))
    return torch.cat([levels, torch.zeros(1)])


HINT = "shifted and not stretched"
