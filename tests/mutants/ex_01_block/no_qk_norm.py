"""Forgets QK-norm."""

HINT = "QK-norm is missing"


def linear(a, b):
    return a * b + b


def answer(D, K):
    return 2 * (linear(D, 6 * D) + 4 * linear(D, D) + linear(D, 4 * D) + linear(4 * D, D))
