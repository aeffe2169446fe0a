"""Chapter 22: why this way."""

import math

from scipy.stats import norm


def EX_22_SEEDS(difference: float, spread: float, power: float = 0.8) -> int:
    """The difference has to be as many standard errors as both quantiles together"""
    errors = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * (errors * spread / difference) ** 2)


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
    "ex_22_seeds": {"ppf", "ceil"},
    "ex_22_blocks": {"keepdims", "residual"},
    "ex_22_holm": {"sorted", "break"},
}
