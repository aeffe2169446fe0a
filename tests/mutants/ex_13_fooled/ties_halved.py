"""Throws a coin for every tie."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    good, bad = chances(better, n), chances(worse, n)
    return sum(bad[k] * (sum(good[:k]) + good[k] / 2) for k in range(n + 1))


HINT = "half of the ties"
