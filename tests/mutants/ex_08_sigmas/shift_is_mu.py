"""Takes mu for the shift."""

import torch


def answer(steps, mu, terminal):
    even = torch.linspace(1, 1 / steps, steps)
    levels = mu / (mu + (1 / even - 1))
    done = 1 - levels
    levels = 1 - done * (1 - terminal) / done[-1]
    return torch.cat([levels, torch.zeros(1)])


HINT = "mu is its logarithm"
