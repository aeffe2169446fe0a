"""Rows are dealt out one by one."""


def answer(gradients):
    count = len(gradients)
    return [(sum(gradients) / count)[n::count] for n in range(count)]


HINT = "like cards"
