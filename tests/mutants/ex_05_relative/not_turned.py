"""Multiplies as they are."""


def answer(q, k, gap):
    return q @ k.T


HINT = "the gap makes no difference"
