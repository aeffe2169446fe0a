"""Merges a pair in the first word that has it."""

from collections import Counter
from itertools import pairwise

from qwenimage_ref.bpe import merge

HINT = "in all words in which it occurs"


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
        word = next(word for word, tokens in tokens_of.items() if best in pairwise(tokens))
        tokens_of[word] = merge(tokens_of[word], {best: 0})
    return pairs
