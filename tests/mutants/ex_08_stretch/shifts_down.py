"""Subtracts the same from every level."""

HINT = "painting begins at pure noise"


def answer(levels, terminal):
    return levels - (levels[-1] - terminal)
