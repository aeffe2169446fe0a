"""One row."""


def answer(width, blocks, in_dim, compress, rank):
    first = 24 * in_dim * compress
    last = 40 * compress * width
    return blocks * (first + last)


HINT = "there are rank of each"
