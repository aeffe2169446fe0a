"""Each length for itself, from the share of the symbol."""

import math


def answer(counts):
    total = sum(counts)
    return [max(1, math.ceil(math.log2(total / count))) if count else 0 for count in counts]


HINT = "rule of Shannon"
