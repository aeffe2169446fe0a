"""Asks at the last level, too, where nothing is left to do."""

HINT = "asked 4 times"


def answer(student, noise, target, levels):
    x = noise
    for i, sigma in enumerate(levels):
        velocity = student(x, sigma)
        if i + 1 < len(levels):
            x = x + (levels[i + 1] - sigma) * velocity
    return (x - target).pow(2).mean()
