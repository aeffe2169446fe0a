"""Counts the columns as fitted, but leaves their means in the numbers."""

import math


def answer(table):
    rows, seeds = table.shape
    left = table - table.mean(1, keepdims=True)
    free = (rows - 1) * (seeds - 1)
    error = math.sqrt(2 * (left**2).sum() / free / seeds)
    return table.mean(1)[1:] - table.mean(1)[0], error, free


HINT = "remove the column's mean"
