"""Merges a pair at its first place in a word."""

from collections import Counter
from itertools import pairwise

HINT = "at both of its places"


def answer(counts, most):
    tokens_of, pairs = {word: [*word] for word in counts}, []
    while len(pairs) < most:
        times = Counter()
        for word, tokens in tokens_of.items():
            for pair in pairwise(tokens):
                times[pair] += counts[word]
        best = min(times, key=lambda pair: (-times[pair], pair), default=None)
        if best is None or times[best] < 2:
            break
        pairs.append(best)
        for tokens in tokens_of.values():
            if best in (places := [*pairwise(tokens)]):
                i = places.index(best)
                tokens[i : i + 2] = ["".join(best)]
    return pairs
