"""The chance of exactly this split."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return math.comb(f + s, f) / 2 ** (f + s)


HINT = "chance of exactly this split"
