"""Scales at A and again at B."""

HINT = "scaled twice"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + (alpha / len(A)) ** 2 * x @ A.T @ B.T
