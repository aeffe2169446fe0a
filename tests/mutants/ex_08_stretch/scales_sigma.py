"""Scales the levels themselves."""

HINT = "painting begins at pure noise"


def answer(levels, terminal):
    return levels * terminal / levels[-1]
