"""A number with a fraction."""

HINT = "an integer from 0"


def answer(block, blocks, count):
    return block / (blocks / count)
