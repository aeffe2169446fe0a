"""Rounds up."""

import math

HINT = "rounded up"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32 * math.ceil(exact / 32), 32 * math.ceil(exact / ratio / 32)
