"""Walks along the velocity, away from the data."""

HINT = "begins in the wrong place"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma - sigma_next) * student(x, sigma)
    return (x - target).pow(2).mean()
