"""Gives the height what is left of the area."""

import math

HINT = "not from what area is left"


def answer(width, height, area):
    first = 32 * round(math.sqrt(area * width / height) / 32)
    return first, 32 * round(area / first / 32)
