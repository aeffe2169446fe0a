"""Takes the spread for a variance."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * both**2 * spread / difference**2)


HINT = "the variance is its square"
