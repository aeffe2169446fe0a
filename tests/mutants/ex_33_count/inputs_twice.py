"""Inputs counted twice."""


def answer(width, blocks, in_dim, compress, rank):
    first = 24 * in_dim * compress
    last = 36 * compress * width * rank
    return blocks * (first + last)


HINT = "count both"
