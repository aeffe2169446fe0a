"""A prompt in free words, cut into the words that the rewriter knows."""

import functools
import re
from dataclasses import dataclass

from . import rewriting_words as words

KINDS = {
    "c": words.INKS,
    "s": words.FORMS,
    "z": words.SIZES,
    "p": words.PLACES,
    "r": words.RELATIONS,
    "i": words.RELATIONS_TO_IT,
    "d": words.SIDES,
    "n": words.COUNTS,
    "b": {"": words.GROUND},
    "o": {"": words.ON},
    "j": {"": words.JOINTS},
    "t": {"": words.AT},
    "f": {"": words.FILLERS},
}


@dataclass(frozen=True)
class Token:
    kind: str  # a key of KINDS
    value: str  # a key of its table
    text: str  # spelling in the prompt
    shade: str = ""  # light or dark, of a colour


@functools.cache
def _patterns() -> list[tuple[str, str, re.Pattern]]:
    """Kind, value and pattern of everything that is known"""
    shades = "|".join(words.SHADES.values())
    before, after = {"c": f"(?P<shade>(?:(?:{shades}) ?)*)"}, {"c": "色?", "s": "(?:e?s)?"}
    marks = ("j", "", re.compile(words.MARKS))
    return [marks] + [
        (kind, value, re.compile(_whole(f"{before.get(kind, '')}(?:{each}){after.get(kind, '')}")))
        for kind, table in KINDS.items()
        for value, each in table.items()
    ]


def _whole(pattern: str) -> str:
    return f"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])"


def tokens_of(text: str, dropped: list[str]) -> list[Token]:
    """Text -> its known words but the fillers; the unknown ones are appended to `dropped`

    Where several begin at a character, the longest counts.
    """
    text = " ".join(re.sub("[-–—]", " ", text.lower()).split())
    tokens, start = [], 0
    while start < len(text):
        matches = [(p.match(text, start), kind, value) for kind, value, p in _patterns()]
        matches = [each for each in matches if each[0] and each[0].end() > start]
        if matches:
            match, kind, value = max(matches, key=lambda each: each[0].end())
            tokens.append(Token(kind, value, match.group(), _shade(match) if kind == "c" else ""))
            start = match.end()
        else:
            match = re.compile(r"[a-z0-9][\w']*|.", re.ASCII).match(text, start)
            _drop(match.group(), text, start, dropped)
            start = match.end()
    return [token for token in tokens if token.kind != "f"]


def _drop(word: str, text: str, start: int, dropped: list[str]) -> None:
    if not word.isalnum() and "'" not in word:
        return
    follows = dropped and not word.isascii() and text[:start].endswith(dropped[-1])
    if follows:  # Chinese characters side by side are one word
        dropped[-1] += word
    else:
        dropped.append(word)


def _shade(match: re.Match) -> str:
    shades = (name for name in ("light", "dark") if re.search(words.SHADES[name], match["shade"]))
    return next(shades, "")
