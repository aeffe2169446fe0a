"""A process may have fewer than no rows."""

import math


def answer(rows, processes, rank):
    each = math.ceil(rows / processes)
    return rank * each, min(each, rows - rank * each)


HINT = "has 0 rows"
