"""Gives the probability and no verdict."""

import math


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    return 2 * sum(math.comb(won + lost, k) for k in range(won + 1)) / 2 ** (won + lost)


HINT = "True or False"
