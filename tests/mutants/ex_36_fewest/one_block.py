"""One gathered block."""

import math


def answer(parameters, block, memory):
    left = memory - 8 * block
    return math.ceil(20 * parameters / left) if left > 0 else None


HINT = "the next is on its way"
