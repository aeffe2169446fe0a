"""Learning the merges of byte-pair encoding from texts."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from .bpe import merge


def learn(word_counts: dict[str, int], min_count: int) -> Iterator[tuple[str, str]]:
    """Pairs in the order they are learned: always the most frequent, ties in alphabetic order.

    `word_counts` says how often each word, written in letters, occurs. Ends when no pair occurs
    `min_count` times.
    """
    split = {word: list(word) for word in word_counts}
    pair_counts = Counter()
    words_with = defaultdict(set)  # pair -> the words that hold it, or have held it

    def count(word: str, times: int) -> None:
        for pair in itertools.pairwise(split[word]):
            pair_counts[pair] += times
            words_with[pair].add(word)

    for word, times in word_counts.items():
        count(word, times)
    while pair_counts:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        if pair_counts[best] < max(min_count, 1):
            return
        yield best
        for word in list(words_with[best]):
            count(word, -word_counts[word])
            split[word] = merge(split[word], {best: 0})
            count(word, word_counts[word])
        del words_with[best], pair_counts[best]  # nothing holds it any more
