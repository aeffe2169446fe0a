"""The noise, not the score."""


def answer(x, velocity, sigma):
    return -(x + (1 - sigma) * velocity)


HINT = "steeper where there is little"
