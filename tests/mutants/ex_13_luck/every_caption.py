"""Tosses for captions on which both agree."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    n = len(first)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(f, s) + 1)) / 2**n)


HINT = "nothing to toss for"
