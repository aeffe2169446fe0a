"""Tells the student the level at which a step ends."""

HINT = "level at which it begins"


def answer(student, noise, target, levels):
    x = noise
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma_next)
    return (x - target).pow(2).mean()
