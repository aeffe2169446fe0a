"""Knows one area alone."""

import math

HINT = "the area is an argument"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(1024**2 * ratio)
    return 32 * round(exact / 32), 32 * round(exact / ratio / 32)
