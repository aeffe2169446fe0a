"""The MLP is as wide as the rest."""


def answer(width, blocks, in_dim, compress, rank):
    first = 24 * in_dim * compress
    last = 34 * compress * width * rank
    return blocks * (first + last)


HINT = "four times as wide"
