"""Takes the baseline for the variant."""

import math


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(baseline, variant))
    lost = sum(a < b for a, b in zip(baseline, variant))
    chance = 2 * sum(math.comb(won + lost, k) for k in range(won + 1)) / 2 ** (won + lost)
    return lost > won and chance < 0.05


HINT = "the variant comes first"
