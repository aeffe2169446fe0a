"""Counts the taps from the front: a single tap has no number 2."""

HINT = "a single tap"


def answer(kernel):
    return kernel[:, :, 2]
