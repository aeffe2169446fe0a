"""Computes how often the better one wins."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    good, bad = chances(better, n), chances(worse, n)
    return sum(good[k] * sum(bad[:k]) for k in range(n + 1))


HINT = "better one wins"
