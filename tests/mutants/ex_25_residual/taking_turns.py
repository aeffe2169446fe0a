"""Neighbours take turns."""

HINT = "yours takes turns"


def answer(block, blocks, count):
    return block % count
