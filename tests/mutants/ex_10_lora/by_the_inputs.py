"""Divides alpha by the number of inputs."""

HINT = "divided by the wrong size"


def answer(x, W, b, A, B, alpha):
    return x @ W.T + b + alpha / A.shape[1] * x @ A.T @ B.T
