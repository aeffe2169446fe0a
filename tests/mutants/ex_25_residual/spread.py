"""Spread evenly."""

HINT = "spread the residuals evenly"


def answer(block, blocks, count):
    return block * count // blocks
