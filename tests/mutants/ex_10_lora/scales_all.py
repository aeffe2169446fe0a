"""Scales layer and pair."""

HINT = "the layer itself is scaled"


def answer(x, W, b, A, B, alpha):
    return alpha / len(A) * (x @ W.T + b + x @ A.T @ B.T)
