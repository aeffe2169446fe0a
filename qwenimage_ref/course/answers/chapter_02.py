"""Chapter 02: tokens."""

from collections import Counter
from itertools import pairwise

from ...bpe import merge


def EX_02_MERGE(tokens: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Find the best pair, join it wherever it stands, left to right; again, until none is known."""
    tokens = list(tokens)
    while True:
        pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]
        if not pairs:
            return tokens
        best = min(pairs, key=ranks.get)
        merged, i = [], 0
        while i < len(tokens):
            if tuple(tokens[i : i + 2]) == best:
                merged.append(tokens[i] + tokens[i + 1])
                i += 2
            else:
                merged.append(tokens[i])
                i += 1
        tokens = merged


def EX_02_LEARN(counts: dict[str, int], most: int) -> list[tuple[str, str]]:
    """Count all pairs, merge the most frequent one in every word, and count again."""
    tokens_of = {word: [*word] for word in counts}
    pairs = []
    while len(pairs) < most:
        times = Counter()
        for word, tokens in tokens_of.items():
            for pair in pairwise(tokens):
                times[pair] += counts[word]
        best = min(times, key=lambda pair: (-times[pair], pair), default=None)
        if best is None or times[best] < 2:
            break
        pairs.append(best)
        tokens_of = {word: merge(tokens, {best: 0}) for word, tokens in tokens_of.items()}
    return pairs


EX_02_DEAR = "🐱🐶🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵"

SPOILERS = {
    "ex_02_merge": {"min", "sorted", "while", "zip"},
    "ex_02_learn": {"pairwise", "Counter", "min", "lambda", "sorted"},
    "ex_02_dear": {"emoji", "emojis", "animals", "faces", "four"},
}
