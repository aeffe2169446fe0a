"""Answers to the exercises, so that a notebook runs through before they are solved.

Spoilers: solve first, the checkers in check.py say what is still wrong.
"""

import math

import torch


def unless_solved(mine, answer):
    """`mine`, or `answer` while `mine` is still the stub: `...`, or raising NotImplementedError."""
    code = getattr(mine, "__code__", None)
    stub = mine is ... or (code is not None and "NotImplementedError" in code.co_names)
    if stub:
        print("not solved yet: the stored answer stands in")
    return answer if stub else mine


EX_00_WORD = "a red circle right of a blue star on a white background"


def EX_12_SIGMA(kind: str, count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform as it is; a squashed normal; the same moved towards noise, as the sampler does."""
    if kind == "uniform":
        return torch.rand(count, generator=generator)
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return sigma if kind == "logit-normal" else 2 * sigma / (1 + sigma)


def EX_13_FOOLED(better: float, worse: float, n: int) -> float:
    """Counts of right answers are binomial: sum over every pair in which the worse one has more."""

    def chances(share):
        return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]

    good, bad = chances(better), chances(worse)
    return sum(bad[k] * sum(good[:k]) for k in range(n + 1))


def EX_22_WORSE(variant: str, baseline: str) -> bool:
    """The sign test: had each caption that tells them apart been decided by a coin, ..."""
    won = sum(pair == ("1", "0") for pair in zip(variant, baseline))
    lost = sum(pair == ("0", "1") for pair in zip(variant, baseline))
    apart = won + lost
    chance = 2 * sum(math.comb(apart, k) for k in range(won + 1)) / 2**apart
    return lost > won and chance < 0.05


# words that no hint may contain, because they are the answer
SPOILERS = {
    "ex_00_word": {"right"},
    "ex_12_sigma": {"sigmoid", "rand", "randn"},
    "ex_13_fooled": {"comb", "binomial", "factorial"},
    "ex_22_worse": {"comb", "binomial", "sign", "coin"},
}
