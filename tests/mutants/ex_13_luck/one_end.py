"""Always sums up to the first's count."""

import math


def answer(first, second):
    f = sum(a and not b for a, b in zip(first, second))
    s = sum(b and not a for a, b in zip(first, second))
    return min(1.0, 2 * sum(math.comb(f + s, k) for k in range(f + 1)) / 2 ** (f + s))


HINT = "from the wrong end"
