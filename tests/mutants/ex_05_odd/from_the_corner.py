"""Counts from the corner, as pixels do."""


def answer(rows, cols):
    return list(range(rows)), list(range(cols)), max(rows, cols)


HINT = "middle is to lie there"
