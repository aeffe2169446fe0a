"""Sends x through B first."""

HINT = "through A first"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + alpha / len(A) * x @ B @ A
