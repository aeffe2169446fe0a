"""Leaves out the split that was seen."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return min(1.0, 2 * sum(math.comb(f + s, k) for k in range(min(f, s))) / 2 ** (f + s))


HINT = "includes it"
