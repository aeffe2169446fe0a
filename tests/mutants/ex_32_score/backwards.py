"""The velocity is subtracted."""


def answer(x, velocity, sigma):
    return -(x - (1 - sigma) * velocity) / sigma


HINT = "so it is added"
