"""Counts the matrices alone."""

HINT = "biases are missing"


def linear(a, b):
    return a * b


def answer(D, K):
    return 2 * (linear(D, 6 * D) + 4 * linear(D, D) + 2 * K + 2 * linear(D, 4 * D))
