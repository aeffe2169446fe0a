"""A vector for each head, where all share one."""

HINT = "for each head"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * D
    return 2 * (stream + linear(D, 4 * D) + linear(4 * D, D))
