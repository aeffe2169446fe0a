"""Puts the terminal level after the others."""

import torch

HINT = "one level too many"


def answer(levels, terminal):
    return torch.cat([levels, torch.tensor([terminal])])
