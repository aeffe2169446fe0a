"""The modulation has two outputs fewer."""


def answer(width, blocks, in_dim, compress, rank):
    first = 24 * in_dim * compress
    last = 30 * compress * width * rank
    return blocks * (first + last)


HINT = "six times as wide"
