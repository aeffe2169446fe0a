"""Leaves modulation out, as in a plain transformer."""

HINT = "modulation is missing"


def linear(a, b):
    return a * b + b


def answer(D, K):
    return 2 * (4 * linear(D, D) + 2 * K + linear(D, 4 * D) + linear(4 * D, D))
