"""A share of eight bits."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-(share * np.log2(share)).sum() / 8)


HINT = "a share of the eight"
