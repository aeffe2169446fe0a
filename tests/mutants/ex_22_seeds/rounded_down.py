"""Rounds down."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.floor(2 * (both * spread / difference) ** 2)


HINT = "round up"
