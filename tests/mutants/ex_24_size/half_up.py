"""Rounds halves up, as at school."""

import math

HINT = "goes to the even one"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32 * int(exact / 32 + 0.5), 32 * int(exact / ratio / 32 + 0.5)
