"""Sums one tail."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return sum(math.comb(f + s, k) for k in range(min(f, s) + 1)) / 2 ** (f + s)


HINT = "one direction only"
