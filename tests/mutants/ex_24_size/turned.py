"""Returns height and width."""

import math

HINT = "changed places"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32 * round(exact / ratio / 32), 32 * round(exact / 32)
