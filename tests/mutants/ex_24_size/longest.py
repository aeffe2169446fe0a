"""Keeps the longest side instead of the area."""

import math

HINT = "not the longest side"


def answer(width, height, area):
    scale = math.sqrt(area) / max(width, height)
    return 32 * round(scale * width / 32), 32 * round(scale * height / 32)
