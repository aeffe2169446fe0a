"""Columns are cut instead of rows."""


def answer(gradients):
    count = len(gradients)
    return list((sum(gradients) / count).chunk(count, dim=1))


HINT = "not the rows of the mean"
