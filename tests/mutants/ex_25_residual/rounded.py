"""Rounded to the nearest number."""

HINT = "not to the nearest number"


def answer(block, blocks, count):
    return block // round(blocks / count)
