"""The factor of the square is forgotten."""

import torch


def answer(student, noise, target, levels):
    x, states = noise, []
    with torch.no_grad():
        for sigma, sigma_next in zip(levels, levels[1:]):
            states.append(x)
            x = x + (sigma_next - sigma) * student(x, sigma)
    weights = [*student.parameters()]
    total = [torch.zeros_like(weight) for weight in weights]
    back = (x - target) / x.numel()
    for x, sigma, sigma_next in reversed([*zip(states, levels, levels[1:])]):
        x = x.detach().requires_grad_()
        step = (sigma_next - sigma) * student(x, sigma)
        to_x, *shares = torch.autograd.grad(step, [x, *weights], back)
        total = [old + share for old, share in zip(total, shares)]
        back = back + to_x
    return total


HINT = "half as large"
