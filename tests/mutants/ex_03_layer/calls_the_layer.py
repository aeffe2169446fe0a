"""Calls what is to be written."""


def answer(layer, x, theta):
    return layer(x, *[x.new_ones(1, 1, 1, 1)] * 2)


HINT = "are yours to write"
