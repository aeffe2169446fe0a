"""Gathered blocks are left out."""

import math


def answer(parameters, block, memory):
    return math.ceil(20 * parameters / memory)


HINT = "leave out the blocks"
