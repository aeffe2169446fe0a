"""Forgets alpha."""

HINT = "counts once"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + x @ A.T @ B.T
