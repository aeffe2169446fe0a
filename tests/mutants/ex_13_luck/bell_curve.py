"""McNemar's approximation."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return math.erfc(abs(f - s) / math.sqrt(2 * (f + s))) if f + s else 1.0


HINT = "bell curve in the place"
