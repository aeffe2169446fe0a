"""Doubles the tail of an even split."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return 2 * sum(math.comb(f + s, k) for k in range(min(f, s) + 1)) / 2 ** (f + s)


HINT = "no p is larger than 1"
