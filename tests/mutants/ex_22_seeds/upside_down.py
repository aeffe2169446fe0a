"""The ratio upside down."""

import math

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(2 * (both * difference / spread) ** 2)


HINT = "the other way round"
