"""Forgets that text has weights of its own."""

HINT = "one stream"


def linear(a, b):
    return a * b + b


def answer(D, K):
    return linear(D, 6 * D) + 4 * linear(D, D) + 2 * K + linear(D, 4 * D) + linear(4 * D, D)
