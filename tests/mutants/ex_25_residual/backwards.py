"""The last residual first."""

HINT = "yours begin with the last"


def answer(block, blocks, count):
    return count - 1 - block // -(-blocks // count)
