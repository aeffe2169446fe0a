"""Learns from the last step only."""

import torch

HINT = "cut off between them"


def answer(student, noise, target, levels):
    x = noise
    with torch.no_grad():
        for sigma, sigma_next in zip(levels[:-1], levels[1:-1]):
            x = x + (sigma_next - sigma) * student(x, sigma)
    x = x + (levels[-1] - levels[-2]) * student(x, levels[-2])
    return (x - target).pow(2).mean()
