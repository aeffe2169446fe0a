"""Adds where it should average."""

HINT = "average, do not add up"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
    return (x - target).pow(2).sum()
