"""Always four studies of five."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * ((both - norm.ppf(power) + norm.ppf(0.8)) * spread / difference) ** 2)


HINT = "does not depend on `power`"
