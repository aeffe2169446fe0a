"""Pools the spreads of the differences to the baseline."""

import math


def answer(table):
    rows, seeds = table.shape
    differences = table[1:] - table[0]
    left = differences - differences.mean(1, keepdims=True)
    free = (rows - 1) * (seeds - 1)
    return differences.mean(1), math.sqrt((left**2).sum() / free / seeds), free


HINT = "the baseline's own luck"
