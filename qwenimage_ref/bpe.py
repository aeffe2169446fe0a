"""Byte-level byte-pair encoding: a text becomes words, a word becomes bytes, bytes are merged."""

import heapq
import unicodedata
from collections.abc import Iterable, Iterator

import regex

# careful: the first match wins, so the order of the alternatives is part of the rule
_WORD = regex.compile(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # English contractions
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # letters, with one character before them, usually a space
    r"|\p{N}"  # digits never group
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # punctuation
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"  # whitespace, but its last space belongs to the word that follows
    r"|\s+"
)
# Accents upon accents, as no language has. The three Tibetan vowels are pairs of them.
_MANY_MARKS = regex.compile(r"[\P{ccc=0}\u0f73\u0f75\u0f81]{32,}")


class TokenizerError(ValueError):
    """A text or tokenizer files that cannot be used; one line with the remedy."""


def split_words(text: str) -> list[str]:
    """Text -> its words after Unicode's NFC; nothing is ever merged across two words."""
    return _WORD.findall(unicodedata.normalize("NFC", _MANY_MARKS.sub(_in_order, text)))


def _in_order(marks: regex.Match) -> str:
    """Marks in canonical order. Python finds it in quadratic time unless they are in it already."""
    single = "".join(unicodedata.normalize("NFD", mark) for mark in marks[0])
    return "".join(sorted(single, key=unicodedata.combining))


def _letters() -> dict[int, str]:
    """The printable letter that stands for each byte, in the order of the official ids 0 to 255.

    A vocabulary is a text file, so a byte that would not show (a space, a third of a Chinese
    character) is written as a letter from U+0100 on.
    """
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(256 + i) for i, byte in enumerate(hidden)
    }


LETTER_OF = _letters()
BYTE_OF = {letter: byte for byte, letter in LETTER_OF.items()}


def to_letters(word: str) -> str:
    """A word in any script -> one printable letter for each byte of its UTF-8."""
    return "".join(LETTER_OF[byte] for byte in word.encode("utf-8"))


def to_bytes(letters: str) -> bytes:
    """The inverse of `to_letters`; the bytes of one token need not be whole characters."""
    return bytes(BYTE_OF[letter] for letter in letters)


def merge(tokens: Iterable[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours, the pair of lowest rank first and leftmost first, until no pair has one.

    The tokens are a linked list and the candidates a heap, so a word of n letters takes
    O(n log n): a megabyte of one letter is a matter of seconds, not of days.
    """
    tokens = [*tokens, None]  # the end has no rank with anything
    end = len(tokens) - 1  # neighbour on both sides: tokens[-1] comes before the first
    following = [*range(1, end + 1), end]
    previous = [*range(-1, end)]

    def candidates(*positions: int) -> Iterator[tuple[int, int]]:
        for i in positions:
            rank = ranks.get((tokens[i], tokens[following[i]]))
            if rank is not None:
                yield rank, i

    heap = list(candidates(*range(end)))
    heapq.heapify(heap)
    while heap:
        rank, i = heapq.heappop(heap)
        j = following[i]
        if ranks.get((tokens[i], tokens[j])) != rank:
            continue  # one of the two has merged with its other neighbour since
        tokens[i], tokens[j] = tokens[i] + tokens[j], None
        following[i] = following[j]
        previous[following[j]] = i
        for candidate in candidates(previous[i], i):
            heapq.heappush(heap, candidate)
    return [token for token in tokens if token is not None]
