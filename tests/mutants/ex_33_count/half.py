"""One bottleneck a layer."""


def answer(width, blocks, in_dim, compress, rank):
    first = 12 * in_dim * compress
    last = 40 * compress * width * rank
    return blocks * (first + last)


HINT = "a bottleneck each"
