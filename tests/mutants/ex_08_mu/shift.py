"""Gives the shift itself."""

import math

HINT = "in the exponent"


def answer(height, width):
    return math.exp(0.5 + ((height // 16) * (width // 16) - 256) * 0.4 / (8192 - 256))
