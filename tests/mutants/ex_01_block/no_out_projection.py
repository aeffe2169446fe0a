"""Query, key and value only."""

HINT = "come back together"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 6 * D) + 3 * linear(D, D) + 2 * K
    return 2 * (stream + linear(D, 4 * D) + linear(4 * D, D))
