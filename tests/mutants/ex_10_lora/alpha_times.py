"""Multiplies by alpha alone."""

HINT = "counts alpha times"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + alpha * x @ A.T @ B.T
