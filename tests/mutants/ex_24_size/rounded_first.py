"""Computes the height from the rounded width."""

import math

HINT = "before that is rounded"


def answer(width, height, area):
    ratio = width / height
    first = 32 * round(math.sqrt(area * ratio) / 32)
    return first, 32 * round(first / ratio / 32)
