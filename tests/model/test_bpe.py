"""Byte-pair encoding against plain versions of the same algorithm."""

import random
import unicodedata
from collections import Counter
from itertools import pairwise

from qwenimage_ref import bpe
from qwenimage_ref.bpe_training import learn


def test_every_byte_has_one_printable_letter():
    assert sorted(bpe.LETTER_OF) == list(range(256))
    assert len(bpe.BYTE_OF) == 256 and all(letter.isprintable() for letter in bpe.BYTE_OF)
    assert bpe.to_letters("a \n中") == "aĠĊä¸Ń"
    assert bpe.to_bytes("aĠĊä¸Ń") == "a \n中".encode()


def merge_plainly(tokens: list[str], ranks: dict) -> list[str]:
    """The definition: find the pair of lowest rank, merge its leftmost occurrence, start again."""
    tokens = list(tokens)
    while known := [pair for pair in pairwise(tokens) if pair in ranks]:
        best = min(known, key=ranks.get)
        i = list(pairwise(tokens)).index(best)
        tokens[i : i + 2] = ["".join(best)]
    return tokens


def test_merge_equals_its_definition():
    rng = random.Random(3)
    for _ in range(300):
        pieces = ["a", "b", "c"]
        pairs = []
        for _ in range(rng.randint(0, 12)):
            pairs.append((rng.choice(pieces), rng.choice(pieces)))
            pieces.append("".join(pairs[-1]))
        rng.shuffle(pairs)  # ranks that no training would give are decided the same way
        ranks = {pair: rank for rank, pair in enumerate(pairs)}
        word = rng.choices("abc", k=rng.randint(0, 25))
        assert bpe.merge(word, ranks) == merge_plainly(word, ranks)


def test_learning_equals_counting_all_pairs_anew_each_time():
    counts = {"abab": 3, "ababab": 2, "aaaa": 4, "bcab": 5, "cab": 1, "abc": 7}
    split = {word: list(word) for word in counts}
    expected = []
    while True:
        pairs = Counter()
        for word, tokens in split.items():
            for pair in pairwise(tokens):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 3:
            break
        expected.append(best)
        split = {word: merge_plainly(tokens, {best: 0}) for word, tokens in split.items()}
    assert len(expected) > 5
    assert list(learn(counts, min_count=3)) == expected


def test_long_runs_of_accents_are_normalised_as_unicode_says():
    marks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)).startswith("M")]
    rng = random.Random(5)
    for _ in range(50):
        text = "e" + "".join(rng.choices(marks, k=rng.randint(30, 90))) + "e\u0301"
        assert "".join(bpe.split_words(text)) == unicodedata.normalize("NFC", text)
