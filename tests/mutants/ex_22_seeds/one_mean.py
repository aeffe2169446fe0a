"""The variance of one mean."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil((both * spread / difference) ** 2)


HINT = "two of them"
