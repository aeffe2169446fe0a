"""Cuts the tap out and leaves its axis."""

HINT = "a picture needs a weight of"


def answer(kernel):
    return kernel[:, :, -1:]
