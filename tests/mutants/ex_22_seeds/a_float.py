"""Does not round."""

from scipy.stats import norm


def answer(difference, spread, power=0.8):
    both = norm.ppf(0.975) + norm.ppf(power)
    return 2 * (both * spread / difference) ** 2


HINT = "give an integer"
