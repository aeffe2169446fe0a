"""Rounds down, like the sides of a target."""

import math

HINT = "rounded down"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32 * int(exact / 32), 32 * int(exact / ratio / 32)
