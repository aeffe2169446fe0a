"""Chapter 22: why this way."""

import math


def EX_22_WORSE(variant: str, baseline: str) -> bool:
    """The sign test: had each caption that tells them apart been decided by a coin, ..."""
    won = sum(pair == ("1", "0") for pair in zip(variant, baseline))
    lost = sum(pair == ("0", "1") for pair in zip(variant, baseline))
    apart = won + lost
    chance = 2 * sum(math.comb(apart, k) for k in range(won + 1)) / 2**apart
    return lost > won and chance < 0.05


def EX_22_BLOCKS(table) -> tuple:
    """Randomised blocks: what is left of a number without the means of its row and its column"""
    rows, seeds = table.shape
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    free = (rows - 1) * (seeds - 1)
    variance = (left**2).sum() / free
    means = table.mean(1)
    return means[1:] - means[0], math.sqrt(2 * variance / seeds), free


def EX_22_HOLM(chances: dict, level: float = 0.05) -> set:
    """Holm's procedure: the smallest chance against level / m, the next against level / (m - 1)"""
    claimed = set()
    for name, chance in sorted(chances.items(), key=lambda pair: pair[1]):
        if chance > level / (len(chances) - len(claimed)):
            break
        claimed.add(name)
    return claimed


SPOILERS = {
    "ex_22_worse": {"comb", "binomial", "sign", "coin"},
    "ex_22_blocks": {"keepdims", "residual"},
    "ex_22_holm": {"sorted", "break"},
}
