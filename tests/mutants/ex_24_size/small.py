"""Leaves small pictures small."""

import math

HINT = "small pictures are enlarged"


def answer(width, height, area):
    scale = min(1, math.sqrt(area / (width * height)))
    return 32 * round(scale * width / 32), 32 * round(scale * height / 32)
