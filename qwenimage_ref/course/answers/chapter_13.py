"""Chapter 13: is it any good?"""

import math


def EX_13_FOOLED(better: float, worse: float, n: int) -> float:
    """Counts of right answers are binomial: sum over every pair in which the worse one has more."""

    def chances(share):
        return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]

    good, bad = chances(better), chances(worse)
    return sum(bad[k] * sum(good[:k]) for k in range(n + 1))


SPOILERS = {"ex_13_fooled": {"comb", "binomial", "factorial"}}
