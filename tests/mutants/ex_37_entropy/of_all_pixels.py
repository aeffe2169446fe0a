"""The bits of the whole picture."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-(share * np.log2(share)).sum() * len(levels))


HINT = "of all pixels together"
