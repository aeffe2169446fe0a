"""Without the minus."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float((share * np.log2(share)).sum())


HINT = "the sign"
