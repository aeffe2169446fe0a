"""One row too many for the first process."""

import math


def answer(rows, processes, rank):
    each = math.ceil(rows / processes)
    first = min(rank * each, rows)
    return first, min(each, rows - first) + (rank == 0)


HINT = "no owner, or two"
