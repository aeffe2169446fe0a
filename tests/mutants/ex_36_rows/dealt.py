"""Rows are dealt out one by one."""


def answer(rows, processes, rank):
    return rank, len(range(rank, rows, processes))


HINT = "like cards"
