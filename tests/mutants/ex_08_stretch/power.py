"""Bends the levels by a power."""

import torch

HINT = "not: every distance from 1"


def answer(levels, terminal):
    return levels ** (torch.tensor(terminal).log() / levels[-1].log())
