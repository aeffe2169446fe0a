"""The last process takes what is left over."""


def answer(rows, processes, rank):
    each = rows // processes
    return rank * each, rows - rank * each if rank == processes - 1 else each


HINT = "share is then the longest"
