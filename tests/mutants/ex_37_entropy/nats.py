"""The natural logarithm."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-(share * np.log(share)).sum())


HINT = "nats"
