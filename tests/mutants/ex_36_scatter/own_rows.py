"""Each keeps rows of its own gradient."""


def answer(gradients):
    return [each.chunk(len(gradients))[n] for n, each in enumerate(gradients)]


HINT = "have computed is lost"
