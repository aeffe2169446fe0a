"""Levels that never occur have an infinite logarithm."""

import numpy as np


def answer(levels):
    share = np.bincount(levels, minlength=256) / len(levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(-(share * np.log2(share)).sum())


HINT = "a level that never occurs"
