"""Logarithms without their weights."""

import numpy as np


def answer(levels):
    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-np.log2(share).sum())


HINT = "weighted"
