"""Chapter 22: why this way."""

import math


def EX_22_WORSE(variant: str, baseline: str) -> bool:
    """The sign test: had each caption that tells them apart been decided by a coin, ..."""
    won = sum(pair == ("1", "0") for pair in zip(variant, baseline))
    lost = sum(pair == ("0", "1") for pair in zip(variant, baseline))
    apart = won + lost
    chance = 2 * sum(math.comb(apart, k) for k in range(won + 1)) / 2**apart
    return lost > won and chance < 0.05


SPOILERS = {"ex_22_worse": {"comb", "binomial", "sign", "coin"}}
