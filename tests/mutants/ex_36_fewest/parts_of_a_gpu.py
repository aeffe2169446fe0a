"""Not rounded."""


def answer(parameters, block, memory):
    left = memory - 10 * block
    return 20 * parameters / left if left > 0 else None


HINT = "no parts of a GPU"
