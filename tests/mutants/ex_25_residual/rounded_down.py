"""60 / 7 rounded down."""

HINT = "you round 60/7 down"


def answer(block, blocks, count):
    return block // (blocks // count)
