"""Gathered blocks in float32."""

import math


def answer(parameters, block, memory):
    left = memory - 14 * block
    return math.ceil(20 * parameters / left) if left > 0 else None


HINT = "takes two bytes"
