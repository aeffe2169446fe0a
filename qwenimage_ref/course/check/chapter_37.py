"""Chapter 37: the data."""

import numpy as np

from ..answers import EX_37_CANDIDATES, EX_37_ENTROPY
from .common import exercise, need, need_none

# --- entropy

_ROWS = (
    np.array([0, 255] * 50, np.uint8),
    np.arange(256, dtype=np.uint8),
    np.array([7] * 70 + [200] * 20 + [9] * 10, np.uint8),
    np.array([3, 3, 3, 3, 90, 90, 160, 250], np.uint8),
)
_BLANK = np.array([240] * 64, np.uint8)


@exercise
def ex_37_entropy(entropy) -> str:
    """entropy(levels) -> bits a pixel; levels: (N,) uint8"""
    given = [entropy(row) for row in _ROWS]
    need(
        all(isinstance(bits, (int, float, np.floating)) for bits in given),
        "give one number, the bits that a pixel needs on average",
    )
    blank = entropy(_BLANK)
    need(
        not any(np.isnan([*given, blank])),
        "the result is no number: a level that never occurs counts nothing, and the logarithm of "
        "its share is infinite",
    )
    need_none(given, _ENTROPY_MISTAKES, _all_close)
    need(
        _all_close(given, [EX_37_ENTROPY(row) for row in _ROWS]),
        "not right yet; a picture of two levels, half and half, has one bit, one of 256 equal "
        "levels has eight",
    )
    need(abs(blank) < 1e-6, "a single level needs no bit at all")
    return "half and half is one bit, a single level none"


def _all_close(a, b) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=0, atol=1e-5)


def _shares(row) -> np.ndarray:
    counts = np.bincount(row)
    return counts[counts > 0] / len(row)


def _each(formula):
    return lambda: [formula(_shares(row)) for row in _ROWS]


_ENTROPY_MISTAKES = [
    (_each(lambda p: -(p * np.log(p)).sum()), "this is in nats: the logarithm is not to base 2"),
    (_each(lambda p: (p * np.log2(p)).sum()), "the sign: a share is below 1, and its log negative"),
    (
        _each(lambda p: -np.log2(p).mean()),
        "all levels count alike; a level that is frequent counts more",
    ),
    (_each(lambda p: -np.log2(p).sum()), "each term must be weighted by the share of its level"),
    (
        _each(lambda p: np.log2(len(p))),
        "this is the most that so many levels can have; how often each occurs counts, too",
    ),
    (
        lambda: [EX_37_ENTROPY(row) * len(row) for row in _ROWS],
        "these are the bits of all pixels together; give those of one",
    ),
    (
        lambda: [EX_37_ENTROPY(row) / 8 for row in _ROWS],
        "this is a share of the eight bits that there are at most; give bits",
    ),
]

# --- candidates

_A, _B = 0x1234_5678_9ABC_DEF0, 0x0F0F_1111_2222_3333
_CODES = (
    [_A, _A, _B],  # equal ones
    [_A, _A ^ 1, _A ^ 1 << 20, _A ^ (1 << 3 | 1 << 21 | 1 << 40)],  # up to three bits
    [_A, _A ^ (1 << 3 | 1 << 21 | 1 << 40 | 1 << 50), _B],  # four bits, one in each band
    [0xAAAA_0000_0000_0001, 0x0002_AAAA_0003_0004],  # a band of one at another place of the other
    [_B, _A, _B ^ 0xFF, _A ^ 0xFFFF_FFFF_FFFF_0000],  # a single band in common
    [0x0012_0034_0056_0078, 0x1012_2034_3056_4078],  # half of each band in common
)


@exercise
def ex_37_candidates(candidates) -> str:
    """candidates([64-bit integers]) -> {(i, j), ...} with i < j"""
    given = [candidates(list(codes)) for codes in _CODES]
    need(
        all(isinstance(pairs, (set, list, tuple, frozenset)) for pairs in given),
        "give a set of pairs (i, j)",
    )
    given = [set(map(tuple, pairs)) for pairs in given]
    need(
        not any(i == j for pairs in given for i, j in pairs),
        "a picture is no duplicate of itself: a pair has two different places",
    )
    need(
        all(i < j for pairs in given for i, j in pairs),
        "the earlier picture comes first in a pair, and no pair comes twice",
    )
    need_none(given, _CANDIDATE_MISTAKES, _equal)
    need(
        given == [EX_37_CANDIDATES(codes) for codes in _CODES],
        "not right yet; take 3 and 3 + 2**20, which agree in three of the four bands",
    )
    return "hashes that share a band are compared, and no others"


def _equal(a, b) -> bool:
    return a == b


def _band(code: int, band: int, bits: int = 16) -> int:
    return code >> bits * band & (1 << bits) - 1


def _bands(code: int) -> set[int]:
    return {_band(code, n) for n in range(4)}


def _pairs(rule):
    """The pairs of all cases by a rule on two codes"""
    return lambda: [
        {(i, j) for j in range(len(codes)) for i in range(j) if rule(codes[i], codes[j])}
        for codes in _CODES
    ]


_CANDIDATE_MISTAKES = [
    (
        _pairs(lambda a, b: _band(a, 0) == _band(b, 0)),
        "only the lowest band is looked up; three wrong bits may all lie in it",
    ),
    (
        _pairs(lambda a, b: _band(a, 3) == _band(b, 3)),
        "only the highest band is looked up; a wrong bit may lie in it",
    ),
    (
        _pairs(lambda a, b: a == b),
        "all four bands must agree with you; one is enough",
    ),
    (
        _pairs(lambda a, b: bool(_bands(a) & _bands(b))),
        "a band of one hash is compared with another band of the other; keep their places apart",
    ),
    (
        _pairs(lambda a, b: any(_band(a, n, 8) == _band(b, n, 8) for n in range(8))),
        "these are eight bands of 8 bits; four bands of 16 share far fewer strangers",
    ),
    (
        _pairs(lambda a, b: any(_band(a, n, 32) == _band(b, n, 32) for n in range(2))),
        "these are two bands of 32 bits: two wrong bits can spoil both",
    ),
    (
        _pairs(lambda a, b: (a ^ b).bit_count() <= 3),
        "this compares every pair, which takes years for a billion pictures; look bands up",
    ),
]

# --- stream

# lengths of shards, window
_CASES = (([5, 3, 8, 4, 6, 7, 2, 5], 3), ([4, 6, 3, 5, 7, 4, 3, 5, 4], 2))


@exercise
def ex_37_stream(stream) -> str:
    """stream(lengths, window, seed, start) -> [(shard, place), ...] from `start` on"""
    for lengths, window in _CASES:
        _check_order(stream, lengths, window)
    for lengths, window in _CASES:
        _check_resumed(stream, lengths, window)
    return "shuffled, near together, and the same after a stop"


def _check_order(stream, lengths, window) -> None:
    whole = _stream(stream, lengths, window)
    every = [(shard, i) for shard, n in enumerate(lengths) for i in range(n)]
    need(sorted(whole) == every, "in an epoch every example of every shard comes once")
    _need_windows(whole, lengths, window)
    need(
        _stream(stream, lengths, window) == whole,
        "called twice with one seed, the order differs: draw from a generator of your own that "
        "begins with the seed",
    )
    need(_stream(stream, lengths, window, seed=1) != whole, "another seed gives the same order")


def _check_resumed(stream, lengths, window) -> None:
    whole = _stream(stream, lengths, window)
    total = len(whole)
    for start in (1, 7, 20, total - 1, total):
        rest = _stream(stream, lengths, window, start=start)
        need(
            len(rest) == total - start,
            f"from {start} on there are {total - start} examples, you give {len(rest)}",
        )
        need(
            rest == whole[start:],
            f"a run that goes on at {start} gets other examples than one that never stopped: first "
            "comes the whole order, then what is left of it",
        )


def _stream(stream, lengths, window, seed: int = 0, start: int = 0) -> list[tuple]:
    given = stream(list(lengths), window, seed, start)
    need(isinstance(given, (list, tuple)), "give a list of pairs (shard, place)")
    return [tuple(pair) for pair in given]


def _need_windows(whole: list[tuple], lengths, window: int) -> None:
    """NotYet unless `window` shards at a time are shuffled together, in a random order of shards"""
    need(whole != sorted(whole), "nothing is shuffled")
    places = [[n for n, (shard, _) in enumerate(whole) if shard == s] for s in range(len(lengths))]
    need(
        any(1 + own[-1] - own[0] > len(own) for own in places),
        "each shard comes by itself; shuffle the examples of a whole window together",
    )
    need(
        any([whole[n] for n in own] != sorted(whole[n] for n in own) for own in places),
        "examples of a shard come in the order of the file; shuffle them, too",
    )
    parts = _windows(whole, lengths, window)
    need(
        parts is not None,
        f"at most {window} shards are open at a time: shuffle them, give them out, and only then "
        "open the next ones",
    )
    need(
        sum(parts, []) != list(range(len(lengths))),
        "the shards themselves come in the order of their names; shuffle them first",
    )


def _windows(whole: list[tuple], lengths, window: int) -> list[list[int]] | None:
    """The shards of each window, or None where more than that many are open together"""
    parts, at = [], 0
    while at < len(whole):
        shards: set[int] = set()
        end = at
        while end < len(whole) and (whole[end][0] in shards or len(shards) < window):
            shards.add(whole[end][0])
            end += 1
            if len(shards) == window and end - at == sum(lengths[shard] for shard in shards):
                break
        if end - at != sum(lengths[shard] for shard in shards):
            return None
        parts.append(sorted(shards))
        at = end
    return parts
