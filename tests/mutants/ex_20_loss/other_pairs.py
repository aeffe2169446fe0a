"""Compares each end with another one's target."""

HINT = "each point with its own"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
    return (x - target.roll(1, 0)).pow(2).mean()
