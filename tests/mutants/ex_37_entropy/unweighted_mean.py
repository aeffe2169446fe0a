"""Every level counts alike."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-np.log2(share).mean())


HINT = "all levels count alike"
