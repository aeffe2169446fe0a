"""Different beyond chance, better included."""

import math


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    fewer = min(won, lost)
    return 2 * sum(math.comb(won + lost, k) for k in range(fewer + 1)) / 2 ** (won + lost) < 0.05


HINT = "the variant comes first"
