"""Rounded down."""


def answer(parameters, block, memory):
    left = memory - 10 * block
    return int(20 * parameters / left) if left > 0 else None


HINT = "does not quite fit"
