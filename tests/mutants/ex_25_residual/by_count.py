"""Divided by the number of residuals."""

HINT = "number of blocks that share one"


def answer(block, blocks, count):
    return block // count
