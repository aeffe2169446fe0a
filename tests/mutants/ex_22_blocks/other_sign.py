"""The baseline less the row."""

import math


def answer(table):
    rows, seeds = table.shape
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    free = (rows - 1) * (seeds - 1)
    error = math.sqrt(2 * (left**2).sum() / free / seeds)
    return table.mean(1)[0] - table.mean(1)[1:], error, free


HINT = "has the other sign"
