"""A gated MLP, as the text encoder has."""

HINT = "has a gate"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K
    return 2 * (stream + 2 * linear(D, 4 * D) + linear(4 * D, D))
