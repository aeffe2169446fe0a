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


SPOILERS = {
    "ex_20_lightning": {"linspace", "cat", "zeros"},
    "ex_20_loss": {"zip", "pow", "mean"},
}
