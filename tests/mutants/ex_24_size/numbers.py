"""Returns numbers with a decimal point."""

import math

HINT = "of type int"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32.0 * round(exact / 32), 32.0 * round(exact / ratio / 32)
