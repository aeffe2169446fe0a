"""Grows with the logarithm of the tokens."""

import math

HINT = "no straight line"


def answer(height, width):
    tokens = (height // 16) * (width // 16)
    return 0.5 + 0.4 * math.log(tokens / 256) / math.log(8192 / 256)
