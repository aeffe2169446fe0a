"""Puts the pair in place of the layer."""

HINT = "the layer itself is missing"


def answer(x, W, b, A, B, alpha):
    return alpha / len(A) * x @ A.T @ B.T
