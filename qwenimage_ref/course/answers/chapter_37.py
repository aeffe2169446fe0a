"""Chapter 37: the data."""


def EX_37_ENTROPY(levels) -> float:
    """Bits a pixel: the mean of -log2 of a level's share."""
    import numpy as np

    counts = np.bincount(levels)
    share = counts[counts > 0] / len(levels)
    return float(-(share * np.log2(share)).sum())


def EX_37_CANDIDATES(codes: list[int]) -> set[tuple[int, int]]:
    """Pairs of hashes that share one of four bands."""
    pairs, buckets = set(), {}
    for j, code in enumerate(codes):
        for band in range(4):
            bucket = buckets.setdefault((band, code >> 16 * band & 0xFFFF), [])
            pairs |= {(i, j) for i in bucket}
            bucket.append(j)
    return pairs


def EX_37_STREAM(lengths: list[int], window: int, seed: int, start: int) -> list[tuple[int, int]]:
    """Shards in a random order, the examples of `window` of them shuffled together."""
    import random

    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


SPOILERS = {
    "ex_37_entropy": {"bincount", "log2", "unique"},
    "ex_37_candidates": {"setdefault", "0xffff", ">>"},
    "ex_37_stream": {"random.Random", "[start:]"},
}
