"""Divided by the variance."""


def answer(x, velocity, sigma):
    return -(x + (1 - sigma) * velocity) / sigma**2


HINT = "divided by the variance"
