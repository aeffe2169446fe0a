"""Keeps the first rows and columns."""


def answer(A, B, alpha, rank):
    return A[:rank], alpha / len(A) * B[:, :rank]


HINT = "not their order"
