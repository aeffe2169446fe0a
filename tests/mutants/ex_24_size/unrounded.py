"""Forgets the multiples."""

import math

HINT = "no multiples of 32"


def answer(width, height, area):
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return round(exact), round(exact / ratio)
