"""Divides by alpha."""

HINT = "upside down"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + len(A) / alpha * x @ A.T @ B.T
