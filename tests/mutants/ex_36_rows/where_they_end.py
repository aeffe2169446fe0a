"""The second number is where the rows end."""

import math


def answer(rows, processes, rank):
    each = math.ceil(rows / processes)
    return min(rank * each, rows), min((rank + 1) * each, rows)


HINT = "not where they end"
