"""One each for the first blocks."""

HINT = "first blocks have a residual each"


def answer(block, blocks, count):
    return min(block, count - 1)
