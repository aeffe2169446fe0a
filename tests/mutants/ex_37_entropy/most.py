"""The most that so many levels could have."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(np.log2(len(share)))


HINT = "the most that so many"
