"""Chapter 13: is it any good?"""

import math


def EX_13_FOOLED(better: float, worse: float, n: int) -> float:
    """Counts of right answers are binomial: sum over every pair in which the worse one has more."""

    def chances(share):
        return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]

    good, bad = chances(better), chances(worse)
    return sum(bad[k] * sum(good[:k]) for k in range(n + 1))


def EX_13_LUCK(first, second) -> float:
    """Both tails of a fair coin, which is tossed where exactly one of the two is right."""
    first_only = sum(a and not b for a, b in zip(first, second))
    second_only = sum(b and not a for a, b in zip(first, second))
    tosses, fewer = first_only + second_only, min(first_only, second_only)
    tail = sum(math.comb(tosses, k) for k in range(fewer + 1)) / 2**tosses
    return min(1.0, 2 * tail)


def EX_13_FRECHET(a, b):
    """Distance of the means, and of the covariances: A + B - 2 roots of A^1/2 B A^1/2."""
    import torch

    A, B = a.T.cov(), b.T.cov()
    values, vectors = torch.linalg.eigh(A)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ B @ root).clamp(min=0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + A.trace() + B.trace() - 2 * mixed


SPOILERS = {
    "ex_13_fooled": {"comb", "binomial", "factorial"},
    "ex_13_luck": {"comb", "binomial", "factorial", "min"},
    "ex_13_frechet": {"eigh", "eigvalsh", "clamp", "trace"},
}
