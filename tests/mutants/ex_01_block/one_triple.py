"""One triple of shift, scale and gate a stream, as if only attention were modulated."""

HINT = "two triples"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 3 * D) + 4 * linear(D, D) + 2 * K
    return 2 * (stream + linear(D, 4 * D) + linear(4 * D, D))
