"""Gives per cent."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    good, bad = chances(better, n), chances(worse, n)
    return 100 * sum(bad[k] * sum(good[:k]) for k in range(n + 1))


HINT = "from 0 to 1"
