"""Orders equally frequent pairs by what they spell together."""

from collections import Counter
from itertools import pairwise

from qwenimage_ref.bpe import merge

HINT = "compared token by token"


def answer(counts, most):
    tokens_of, pairs = {word: [*word] for word in counts}, []
    while len(pairs) < most:
        times = Counter()
        for word, tokens in tokens_of.items():
            for pair in pairwise(tokens):
                times[pair] += counts[word]
        best = min(times, key=lambda pair: (-times[pair], "".join(pair)), default=None)
        if best is None or times[best] < 2:
            break
        pairs.append(best)
        tokens_of = {word: merge(tokens, {best: 0}) for word, tokens in tokens_of.items()}
    return pairs
