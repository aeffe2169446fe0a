"""Counts only the tail that it looked at."""

import math


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    chance = sum(math.comb(won + lost, k) for k in range(won + 1)) / 2 ** (won + lost)
    return lost > won and chance < 0.05


HINT = "you did not know beforehand"
