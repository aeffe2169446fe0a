"""How well words are written: the measures of CVTG-2K and ChineseWord, of the exact reader.

CVTG-2K counts the words that are right to the last character and averages the normalised edit
distance, which gives a word with one wrong letter more than a word that is all wrong. ChineseWord
asks for one Chinese character at a time and counts, level by level of frequency.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..posters.scene import BACKGROUNDS, SIZES, Scene
from ..posters.strokes import level_of
from ..posters.writing import is_chinese
from .intervals import bounded_mean, interval

# names of the levels of strokes.py
FREQUENCIES = ("common", "ten times rarer", "a hundred times rarer")


@dataclass(frozen=True)
class Written:
    """A word that was asked for, and what the reader finds in its place."""

    scene: Scene
    language: str  # the caption's, en or zh
    reading: str  # "?" stands for ink that is no letter


def edit_distance(first: str, second: str) -> int:
    """Fewest characters inserted, deleted or replaced that turn one text into the other."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first):
        above, row = row, [i + 1]
        for j, b in enumerate(second):
            row.append(min(above[j] + (a != b), above[j + 1] + 1, row[j] + 1))
    return row[-1]


def likeness(asked: str, reading: str) -> float:
    """The normalised edit distance as CVTG-2K prints it: 1 for equal words, 0 for nothing alike."""
    return 1 - edit_distance(asked, reading) / max(len(asked), len(reading), 1)


def measure(answers: list[Written]) -> dict:
    """-> {group: {"accuracy": share of the words, "ned": mean of `likeness`}}, 95 % intervals

    Scenes without a word are left out, and groups that no caption belongs to.
    """
    worded = [answer for answer in answers if answer.scene.word]
    rows = {}
    for name, belongs in _groups({answer.scene.size for answer in worded}).items():
        group = [answer for answer in worded if belongs(answer)]
        if group:
            right = sum(answer.reading == answer.scene.word for answer in group)
            alike = [likeness(answer.scene.word, answer.reading) for answer in group]
            rows[name] = {"accuracy": interval(right, len(group)), "ned": bounded_mean(alike)}
    return rows


def _groups(sizes: set[tuple[int, int]]) -> dict[str, Callable[[Written], bool]]:
    """The rows: by script and length, frequency, the caption's language, background and size."""
    groups = {"all words": lambda a: True, "Latin words": _script(False)}
    for n in (1, 2, 3, 4):
        groups[f"  {n} letters" if n > 1 else "  1 letter"] = _script(False, n)
    groups["Chinese words"] = _script(True)
    for n in (1, 2, 3):
        groups[f"  {n} characters" if n > 1 else "  1 character"] = _script(True, n)
    for level, name in enumerate(FREQUENCIES):
        groups[f"  {name}"] = _script(True, level=level)
    for level, name in enumerate(FREQUENCIES):
        groups[f"  1 character, {name}"] = _script(True, 1, level)
    groups["in English captions"] = lambda a: a.language == "en"
    groups["in Chinese captions"] = lambda a: a.language == "zh"
    for paper in BACKGROUNDS:
        groups[f"on {paper}"] = lambda a, paper=paper: a.scene.background == paper
    for size in SIZES if len(sizes) > 1 else ():
        groups[f"at {size[0]}x{size[1]}"] = lambda a, size=size: a.scene.size == size
    return groups


def _script(chinese: bool, length: int | None = None, level: int | None = None) -> Callable:
    """Whether a word is of that script, of that length and, all of it, of that level."""

    def belongs(answer: Written) -> bool:
        word = answer.scene.word
        levels = {level_of(sign) for sign in word} if chinese and is_chinese(word) else set()
        return (
            is_chinese(word) == chinese
            and length in (None, len(word))
            and (level is None or levels == {level})
        )

    return belongs
