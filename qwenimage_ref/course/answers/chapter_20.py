"""Chapter 20: few steps."""

import torch


def EX_20_LIGHTNING(steps: int, shift: float = 3.0):
    """Evenly spaced levels from 1 to 1/steps, moved towards noise, and the 0 after them."""
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + (1 / s - 1)), torch.zeros(1)])


def EX_20_LOSS(student, noise, target, levels):
    """The student walks all its steps, and only where it ends is compared."""
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
    return (x - target).pow(2).mean()


def EX_20_GRADIENTS(student, noise, target, levels):
    """The steps without a graph; then each again, from the last, with the gradient from behind."""
    x, states = noise, []
    with torch.no_grad():
        for sigma, sigma_next in zip(levels, levels[1:]):
            states.append(x)
            x = x + (sigma_next - sigma) * student(x, sigma)
    weights = [*student.parameters()]
    total = [torch.zeros_like(weight) for weight in weights]
    back = 2 * (x - target) / x.numel()
    for x, sigma, sigma_next in reversed([*zip(states, levels, levels[1:])]):
        x = x.detach().requires_grad_()
        step = (sigma_next - sigma) * student(x, sigma)
        to_x, *shares = torch.autograd.grad(step, [x, *weights], back)
        total = [old + share for old, share in zip(total, shares)]
        back = back + to_x
    return total


SPOILERS = {
    "ex_20_lightning": {"linspace", "cat", "zeros"},
    "ex_20_loss": {"zip", "pow", "mean"},
    "ex_20_gradients": {"reversed", "no_grad", "autograd", "zip", "numel"},
}
