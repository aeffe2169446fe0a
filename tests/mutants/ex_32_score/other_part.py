"""The wrong part of the line."""


def answer(x, velocity, sigma):
    return -(x + sigma * velocity) / sigma


HINT = "lies 1 - sigma"
