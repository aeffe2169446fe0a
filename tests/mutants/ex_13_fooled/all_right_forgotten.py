"""Counts from 0 to n - 1."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    good, bad = chances(better, n), chances(worse, n)
    return sum(bad[k] * sum(good[:k]) for k in range(n))


HINT = "all of its n right"
