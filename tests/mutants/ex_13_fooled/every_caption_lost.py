"""Wants the better model to lose on every caption."""


def answer(better, worse, n):
    return (worse * (1 - better)) ** n


HINT = "not for five"
