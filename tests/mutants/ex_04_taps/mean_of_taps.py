"""Averages the taps."""

HINT = "a mean of all three"


def answer(kernel):
    return kernel.mean(2)
