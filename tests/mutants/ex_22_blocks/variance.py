"""Forgets the root."""


def answer(table):
    rows, seeds = table.shape
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    free = (rows - 1) * (seeds - 1)
    error = 2 * (left**2).sum() / free / seeds
    return table.mean(1)[1:] - table.mean(1)[0], error, free


HINT = "take its root"
