"""Returns a square's side."""

import math

HINT = "give two numbers"


def answer(width, height, area):
    return 32 * round(math.sqrt(area) / 32)
