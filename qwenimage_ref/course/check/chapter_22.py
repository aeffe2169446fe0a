"""Chapter 22: why this way."""

import itertools
import math
import random

import numpy as np

from ..answers import EX_22_BLOCKS, EX_22_HOLM, EX_22_WORSE
from .common import exercise, need, need_none, wrong_here

MOST = 45  # captions that only one of the two models gets right: all counts below are tried


def _asked(both: int, first: int, second: int, neither: int) -> tuple[str, str]:
    """What two models got right: so many captions both, only the first, only the second, none."""
    pairs = both * ["11"] + first * ["10"] + second * ["01"] + neither * ["00"]
    return tuple("".join(side) for side in zip(*pairs))


@exercise
def ex_22_worse(worse) -> str:
    """Whether a variant is worse than the baseline beyond chance, asked the same captions."""

    def verdict(*counts):
        answer = worse(*_asked(*counts))
        need(isinstance(answer, bool), f"the answer is True or False, not {answer!r}")
        return answer

    need(not verdict(0, 60, 0, 0), "the variant comes first: there it was right each time")
    need(verdict(0, 0, 60, 0), "never right where the baseline always was, and that is chance?")
    need(
        verdict(100, 0, 15, 100),
        "15 captions were lost and none won; that the shares lie close, 100 and 115 of 215, says "
        "little: what is the difference of each caption?",
    )
    need(
        not verdict(100, 30, 33, 40),
        "33 captions were lost but 30 won: a difference of three out of 63 is a matter of luck",
    )
    need(not verdict(120, 0, 0, 80), "they agree on every caption, so neither is worse")
    need(verdict(0, 3, 17, 0), "17 against 3: it happens in three of a thousand even contests")
    need(
        verdict(2, 0, 6, 2),
        "6 against 0 leaves chance 3 in 100, both ways counted; under 5 is enough",
    )
    need(
        not verdict(2, 0, 5, 2),
        "5 against 0 happens in 6 of 100 even contests, if either side may be the one that loses; "
        "you did not know beforehand which it would be",
    )
    for won, lost in ((won, lost) for lost in range(MOST) for won in range(MOST)):
        counts = (4, won, lost, 3)
        need(
            verdict(*counts) == EX_22_WORSE(*_asked(*counts)),
            f"{lost} lost against {won} won: count how many of all even contests of {won + lost} "
            "end so or still more one-sided, both ways; a formula for many captions, or a rule of "
            "thumb, is off where they are few",
        )
    return "only the captions on which they differ speak, and few of them say little"


def _table(rows: int, seeds: int, number: int) -> np.ndarray:
    """Numbers of so many rows, all of which are higher or lower together with a seed."""
    rng = np.random.default_rng(number)
    return rng.normal(size=(rows, 1)) + 3 * rng.normal(size=seeds) + rng.normal(size=(rows, seeds))


def _scatter(left: np.ndarray, free: float, seeds: float, factor: float = 2) -> float:
    return math.sqrt(factor * (left**2).sum() / free / seeds)


def _within(table):
    return table - table.mean(1, keepdims=True)


def _left(table):
    return _within(table) - table.mean(0) + table.mean()


WRONG_ERRORS = (  # table -> a wrong standard error, and its hint
    (
        lambda t: _scatter(_within(t), t.shape[0] * (t.shape[1] - 1), t.shape[1]),
        "your error holds what a seed does to all rows alike, but a row and the baseline have the "
        "same seeds, so that it cancels in their difference: remove the means of the columns, too",
    ),
    (
        lambda t: _scatter(_within(t), (t.shape[0] - 1) * (t.shape[1] - 1), t.shape[1]),
        "the free numbers are right, but the squares are not: remove the column's mean as well",
    ),
    (
        lambda t: _scatter(_left(t), (t.shape[0] - 1) * (t.shape[1] - 1), t.shape[1], 1),
        "this is the error of one mean; a difference has two of them, each with its own",
    ),
    (
        lambda t: _scatter(_left(t), (t.shape[0] - 1) * (t.shape[1] - 1), 1),
        "this is the error of the difference of two single runs; yours are means of all seeds",
    ),
    (
        lambda t: _scatter(_left(t), t.size, t.shape[1]),
        "divide the squares by the numbers that are free, not by all of them: means of rows and "
        "columns were fitted to these same numbers",
    ),
    (
        lambda t: _scatter(_left(t), t.size - 1, t.shape[1]),
        "divide the squares by (V - 1)(S - 1): more than one mean was taken away",
    ),
    (
        lambda t: _scatter(_within(t) - t.mean(0), (t.shape[0] - 1) * (t.shape[1] - 1), t.shape[1]),
        "the mean of the whole table was taken away twice, once with the row's mean and once with "
        "the column's; add it once",
    ),
    (
        lambda t: _scatter(_left(t), (t.shape[0] - 1) * (t.shape[1] - 1), t.shape[1]) ** 2,
        "this is the square of the error; take its root",
    ),
    (
        lambda t: _scatter((t[1:] - t[0]) - (t[1:] - t[0]).mean(1, keepdims=True),
                           (len(t) - 1) * (t.shape[1] - 1), t.shape[1], 1),
        "these are the spreads of the differences to the baseline, pooled; they share the "
        "baseline's own luck and are not independent, while the table's own spread uses all rows "
        "alike",
    ),
)  # fmt: skip


def _close(a, b) -> bool:
    return math.isclose(a, b, rel_tol=1e-6)


@exercise
def ex_22_blocks(blocks) -> str:
    """Differences of rows to the first, their common standard error, and how many are free."""
    for number, (rows, seeds) in enumerate(itertools.product((2, 3, 7, 14), (2, 3, 5))):
        table = _table(rows, seeds, number)
        right, error, free = EX_22_BLOCKS(table)
        given = blocks(table)
        need(
            isinstance(given, tuple) and len(given) == 3,
            "give three things: the differences, their standard error, the number of free ones",
        )
        differences, yours, count = given
        _demand_differences(np.asarray(differences, float), right)
        need(np.ndim(yours) == 0, "give one standard error, a number: all rows share it")
        yours = float(yours)
        need_none(yours, wrong_here(WRONG_ERRORS, error, _close, table), _close, table)
        need(
            _close(yours, error),
            f"with {rows} rows and {seeds} seeds the error is {error:.5f}, yours is {yours:.5f}: "
            "what does the table leave, when the means of its rows and columns are gone?",
        )
        need(
            count == free,
            f"with {rows} rows and {seeds} seeds {free} numbers are free, not {count}: in every "
            "row the last is fixed by the others, and so in every column",
        )
    return "three seeds a row, and yet one spread from the whole table"


def _demand_differences(differences: np.ndarray, right: np.ndarray) -> None:
    need(
        differences.shape == right.shape,
        f"give a difference for each row but the first, here {len(right)}; yours have the shape "
        f"{differences.shape}",
    )
    need(
        not np.allclose(differences, -right),
        "a row that is higher than the baseline has a difference above zero; yours has the other "
        "sign",
    )
    need(np.allclose(differences, right), "a difference is the row's mean less the first row's")


def _bonferroni(chances, level):
    return {name for name, chance in chances.items() if chance <= level / len(chances)}


def _alone(chances, level):
    return {name for name, chance in chances.items() if chance <= level}


def _without_a_stop(chances, level):
    order = sorted(chances, key=chances.get)
    return {n for k, n in enumerate(order) if chances[n] <= level / (len(order) - k)}


def _hochberg(chances, level):
    order = sorted(chances, key=chances.get)
    holds = [k for k, n in enumerate(order) if chances[n] <= level / (len(order) - k)]
    return set(order[: max(holds) + 1]) if holds else set()


def _discoveries(chances, level):
    order = sorted(chances, key=chances.get)
    holds = [k for k, n in enumerate(order) if chances[n] <= level * (k + 1) / len(order)]
    return set(order[: max(holds) + 1]) if holds else set()


def _as_given(chances, level):
    claimed = set()
    for name, chance in chances.items():
        if chance > level / (len(chances) - len(claimed)):
            break
        claimed.add(name)
    return claimed


WRONG_CLAIMS = (  # chances, level -> a wrong set, and its hint
    (_alone, "each row is tried by itself here; with fourteen rows one false alarm is likely"),
    (
        _bonferroni,
        "dividing by the number of rows is safe, but more careful than need be: once the smallest "
        "chance is claimed, only the others are left to be wrong about",
    ),
    (_as_given, "begin with the smallest chance, whatever the order in the dictionary"),
    (_without_a_stop, "stop at the first row that fails: those after it are not tried any more"),
    (_hochberg, "begin with the smallest chance and not with the largest; stop where one fails"),
    (
        _discoveries,
        "this bounds the share of false claims among all claims; here not one shall be false in 95 "
        "of 100 studies",
    ),
)


def _studies() -> list[tuple[dict[str, float], float]]:
    """Chances of several rows and a level, so that each of WRONG_CLAIMS is wrong on one at least"""
    rng = random.Random(22)
    fixed = [
        ({"a": 0.15}, 0.2),
        ({"a": 0.03, "b": 0.9}, 0.05),
        ({"a": 0.04, "b": 0.002, "c": 0.02, "d": 0.6}, 0.05),
        ({"a": 0.014, "b": 0.015, "c": 0.016, "d": 0.045, "e": 0.3}, 0.05),
        ({"a": 0.025, "b": 0.5}, 0.05),
        ({"a": 0.05}, 0.05),
        ({}, 0.05),
        ({"a": 0.06, "b": 0.04, "c": 0.001}, 0.1),
    ]
    drawn = [
        {str(name): rng.random() ** 4 / 4 for name in range(rng.randint(2, 9))} for _ in range(40)
    ]
    return fixed + [(chances, rng.choice((0.05, 0.01, 0.2))) for chances in drawn]


@exercise
def ex_22_holm(claims) -> str:
    """The rows that can be claimed together, with one false claim in 20 studies at most."""
    for chances, level in _studies():
        right, given = EX_22_HOLM(chances, level), claims(chances, level)
        need(isinstance(given, set), f"give a set of names, not {type(given).__name__}")
        need(given <= chances.keys(), "give names of rows, the keys of the dictionary")
        wrong = wrong_here(WRONG_CLAIMS, right, set.__eq__, chances, level)
        need_none(given, wrong, set.__eq__, chances, level)
        need(
            given == right,
            f"of {chances} at {level:g} you claim {sorted(given)}; it should be {sorted(right)}: "
            "the smallest against level / m, the next against level / (m - 1), until one fails",
        )
    need(
        claims({"a": 0.051}) == set() and claims({"a": 0.049}) == {"a"},
        "without a level, 0.05 is meant",
    )
    return "the more rows are tried, the smaller a chance has to be"
