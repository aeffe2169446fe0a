"""The sign of the score is turned."""


def answer(x, velocity, sigma):
    return (x + (1 - sigma) * velocity) / sigma


HINT = "sign is turned"
