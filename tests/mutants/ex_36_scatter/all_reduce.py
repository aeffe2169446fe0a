"""Everybody gets all of it."""


def answer(gradients):
    return [sum(gradients) / len(gradients)] * len(gradients)


HINT = "all-reduce"
