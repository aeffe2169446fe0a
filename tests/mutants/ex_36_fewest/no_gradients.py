"""The gradients of a block are left out."""

import math


def answer(parameters, block, memory):
    left = memory - 4 * block
    return math.ceil(20 * parameters / left) if left > 0 else None


HINT = "gradients of a block are missing"
