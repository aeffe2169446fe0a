"""Five per cent on one side."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * ((both + norm.ppf(0.95) - norm.ppf(0.975)) * spread / difference) ** 2)


HINT = "divided between both sides"
