"""Adds the taps up, as if the picture stood still for three frames."""

HINT = "a sum of all three"


def answer(kernel):
    return kernel.sum(2)
