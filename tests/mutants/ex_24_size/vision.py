"""Takes the vision tower's multiples."""

import math

HINT = "vision tower's"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 28 * round(exact / 28), 28 * round(exact / ratio / 28)
