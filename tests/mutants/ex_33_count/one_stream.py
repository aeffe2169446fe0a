"""Text is forgotten."""


def answer(width, blocks, in_dim, compress, rank):
    first = 12 * in_dim * compress
    last = 20 * compress * width * rank
    return blocks * (first + last)


HINT = "text has the same layers"
