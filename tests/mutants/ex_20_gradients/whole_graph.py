"""One backward pass through all steps."""

import torch


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
    return torch.autograd.grad((x - target).square().mean(), [*student.parameters()])


HINT = "kept at once"
