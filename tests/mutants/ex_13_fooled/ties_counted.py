"""Lets a tie fool, too."""

import math


def chances(share, n):
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def answer(better, worse, n):
    good, bad = chances(better, n), chances(worse, n)
    return sum(bad[k] * sum(good[: k + 1]) for k in range(n + 1))


HINT = "a tie as a defeat"
