"""The average is left out."""

import math


def answer(parameters, block, memory):
    left = memory - 10 * block
    return math.ceil(16 * parameters / left) if left > 0 else None


HINT = "the average over time"
