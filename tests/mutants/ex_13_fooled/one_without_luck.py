"""Gives the better model exactly its share."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    return sum(chance for k, chance in enumerate(chances(worse, n)) if k > better * n - 1e-9)


HINT = "luck of its own"
