"""One block."""


def answer(width, blocks, in_dim, compress, rank):
    return 24 * in_dim * compress + 40 * compress * width * rank


HINT = "that is one block"
