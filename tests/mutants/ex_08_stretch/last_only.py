"""Overwrites the last level."""

import torch

HINT = "only the last level has moved"


def answer(levels, terminal):
    return torch.cat([levels[:-1], torch.tensor([terminal])])
