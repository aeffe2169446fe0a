"""Leaves 1 - terminal instead of terminal."""

HINT = "it is 1 - terminal that should be over"


def answer(levels, terminal):
    left = 1 - levels
    return 1 - left * terminal / left[-1]
