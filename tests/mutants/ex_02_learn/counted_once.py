"""Counts at the beginning only, and takes the most frequent pairs of letters."""

from collections import Counter
from itertools import pairwise

HINT = "count again in the merged words"


def answer(counts, most):
    times = Counter()
    for word in counts:
        for pair in pairwise(word):
            times[pair] += counts[word]
    ordered = sorted(times, key=lambda pair: (-times[pair], pair))
    return [pair for pair in ordered if times[pair] > 1][:most]
