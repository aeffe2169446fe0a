"""The spread within rows, as if every row had seeds of its own."""

import math


def answer(table):
    rows, seeds = table.shape
    left = table - table.mean(1, keepdims=True)
    free = rows * (seeds - 1)
    error = math.sqrt(2 * (left**2).sum() / free / seeds)
    return table.mean(1)[1:] - table.mean(1)[0], error, free


HINT = "cancels in their difference"
