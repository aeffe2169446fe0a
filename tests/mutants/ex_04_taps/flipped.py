"""Flips the weight, as a mathematician's convolution would."""

HINT = "does not flip"


def answer(kernel):
    return kernel[:, :, -1].flip(-1, -2)
