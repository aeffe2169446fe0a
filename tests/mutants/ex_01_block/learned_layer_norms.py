"""Gives the norms before attention and MLP a scale and a shift."""

HINT = "have no weights"


def linear(a, b):
    return a * b + b


def answer(D, K):
    stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K + 4 * D
    return 2 * (stream + linear(D, 4 * D) + linear(4 * D, D))
