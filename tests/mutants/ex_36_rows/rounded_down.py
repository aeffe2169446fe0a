"""The share is rounded down."""


def answer(rows, processes, rank):
    each = rows // processes
    return rank * each, each


HINT = "at the end have no owner"
