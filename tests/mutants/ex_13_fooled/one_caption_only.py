"""Forgets that there are n captions."""


def answer(better, worse, n):
    return worse * (1 - better)


HINT = "what does your n do"
