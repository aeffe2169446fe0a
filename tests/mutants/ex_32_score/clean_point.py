"""The clean point in place of the noise."""


def answer(x, velocity, sigma):
    return -(x - sigma * velocity) / sigma


HINT = "the clean point; the score needs the noise"
