"""The interval alone."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * ((both - norm.ppf(power)) * spread / difference) ** 2)


HINT = "in every second study"
