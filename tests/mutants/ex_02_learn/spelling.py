"""Merges wherever the letters of the pair occur, also across tokens."""

from collections import Counter
from itertools import pairwise

HINT = "compare whole tokens"


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
        for word, tokens in tokens_of.items():
            marked = " ".join(tokens).replace(" ".join(best), "".join(best))
            tokens_of[word] = marked.split()
    return pairs
