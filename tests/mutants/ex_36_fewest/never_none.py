"""None is never given."""

import math


def answer(parameters, block, memory):
    return math.ceil(20 * parameters / abs(memory - 10 * block))


HINT = "then give None"
