"""Blocks counted from 1."""

HINT = "one block too early"


def answer(block, blocks, count):
    return (block + 1) // -(-blocks // count)
