"""Chapter 22: why this way."""

import itertools
import math
import random

import numpy as np
from scipy.stats import norm

from ..answers import EX_22_BLOCKS, EX_22_HOLM, EX_22_SEEDS
from .common import exercise, need, need_none, wrong_here


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
    (_alone, "each row is tried by itself here; with 28 rows at least one false alarm is likely"),
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


def _seeds(errors: float, spread: float, difference: float, factor: float = 2) -> int:
    return math.ceil(factor * (errors * spread / difference) ** 2)


def _both(power: float) -> float:
    return norm.ppf(0.975) + norm.ppf(power)


WRONG_SEEDS = (  # difference, spread, power -> a wrong number, and its hint
    (
        lambda d, s, p: _seeds(norm.ppf(0.975), s, d),
        "with so few seeds the difference is as large as the interval's half width, and luck takes "
        "it below in every second study: add the quantile of the power",
    ),
    (
        lambda d, s, p: _seeds(norm.ppf(0.95) + norm.ppf(p), s, d),
        "5 % are divided between both sides, as a variant may be better or worse: which quantile "
        "leaves 2.5 % above?",
    ),
    (
        lambda d, s, p: _seeds(_both(p), s, d, 1),
        "this is enough for one mean, but a difference has two of them, each uncertain",
    ),
    (
        lambda d, s, p: _seeds(_both(p), s, d, 4),
        "the variances of two means add up; you have added their standard errors",
    ),
    (
        lambda d, s, p: math.floor(2 * (_both(p) * s / d) ** 2),
        "part of a seed is no training run: round up, or the power is not reached",
    ),
    (
        lambda d, s, p: math.ceil(2 * _both(p) * s / d),
        "an error falls with the root of the number of seeds, so that the ratio has to be squared",
    ),
    (
        lambda d, s, p: _seeds(_both(p) * d / s, 1, 1),
        "a larger difference needs fewer seeds, and a larger spread more; yours is the other way "
        "round",
    ),
    (
        lambda d, s, p: math.ceil(2 * _both(p) ** 2 * s / d**2),
        "`spread` is a standard deviation; the variance is its square",
    ),
    (
        lambda d, s, p: _seeds(_both(0.8), s, d),
        "your number does not depend on `power`",
    ),
)


@exercise
def ex_22_seeds(seeds_needed) -> str:
    """Seeds of each row, so that a true difference is found as often as asked for."""
    cases = [(0.004, 0.013, 0.8), (1.0, 2.0, 0.9), (0.03, 0.05, 0.5), (-0.01, 0.02, 0.95)]
    cases += [(0.7 * k, 1.3, 0.6 + 0.03 * k) for k in range(1, 12)]
    for case in cases:
        right, given = EX_22_SEEDS(*case), seeds_needed(*case)
        need(
            not isinstance(given, bool) and isinstance(given, (int, np.integer)),
            f"give an integer, the number of seeds, not {given!r}",
        )
        need_none(given, wrong_here(WRONG_SEEDS, right, int.__eq__, *case), int.__eq__, *case)
        need(
            given == right,
            "for a difference of {:g}, a spread of {:g} and a power of {:g} ".format(*case)
            + f"{right} seeds are needed, yours are {given}",
        )
    need(seeds_needed(0.004, 0.003) == EX_22_SEEDS(0.004, 0.003), "without a power, 0.8 is meant")
    return "half the difference takes four times as many seeds"
