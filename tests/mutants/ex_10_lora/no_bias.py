"""Leaves the bias out."""

HINT = "bias is missing"


def answer(x, W, b, A, B, alpha):
    return x @ (W + alpha / len(A) * B @ A).T
