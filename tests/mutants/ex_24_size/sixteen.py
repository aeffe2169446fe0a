"""Takes multiples of a token's side."""

import math

HINT = "multiples of 16 are enough"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 16 * round(exact / 16), 16 * round(exact / ratio / 16)
