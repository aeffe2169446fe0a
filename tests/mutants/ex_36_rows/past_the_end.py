"""Shares may reach past the end."""

import math


def answer(rows, processes, rank):
    each = math.ceil(rows / processes)
    return rank * each, each


HINT = "past the end"
