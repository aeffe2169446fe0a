"""Writes all words one after the other, so that the end of one meets the beginning of the next."""

from collections import Counter
from itertools import pairwise

from qwenimage_ref.bpe import merge

HINT = "pairs lie inside words"


def answer(counts, most):
    tokens, pairs = [letter for word in counts for letter in word * counts[word]], []
    while len(pairs) < most:
        times = Counter(pairwise(tokens))
        best = min(times, key=lambda pair: (-times[pair], pair), default=None)
        if best is None or times[best] < 2:
            break
        pairs.append(best)
        tokens = merge(tokens, {best: 0})
    return pairs
