"""Numbers are counted for bytes."""

import math


def answer(parameters, block, memory):
    left = memory - 10 * block
    return math.ceil(5 * parameters / left) if left > 0 else None


HINT = "not their bytes"
