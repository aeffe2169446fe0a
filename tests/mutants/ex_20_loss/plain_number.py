"""Gives a plain number, which has no gradient."""

HINT = "that can be differentiated"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
    return (x - target).pow(2).mean().item()
