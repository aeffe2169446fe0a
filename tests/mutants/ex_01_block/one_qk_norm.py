"""One norm a stream, for queries and keys alike."""

HINT = "one for keys"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 6 * D) + 4 * linear(D, D) + K
    return 2 * (stream + linear(D, 4 * D) + linear(4 * D, D))
