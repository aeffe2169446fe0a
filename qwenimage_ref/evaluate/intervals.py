"""How certain is a share that was counted on few pictures? 95 % intervals, single and paired."""

import math

import numpy as np
from scipy.stats import binomtest, norm, t

Z = 1.96  # standard errors on either side of the estimate
CONFIDENCE = 2 * norm.cdf(Z) - 1  # 95 %, as Z standard errors of a normal distribution


def interval(right: int, of: int) -> dict:
    """A share and its 95 % interval by Wilson's method, which stays between 0 and 1."""
    if of == 0:
        return {"right": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}
    bounds = binomtest(right, of).proportion_ci(CONFIDENCE, method="wilson")
    numbers = {"share": right / of, "low": bounds.low, "high": bounds.high}
    return {"right": right, "of": of} | _rounded(numbers)


def paired(first: list[bool], second: list[bool]) -> dict:
    """Two answers to each question -> the difference of the shares, first minus second.

    Only the questions that exactly one of the two answers right carry information. The interval is
    that of Bonett and Price (2012), who add one question of each kind to keep it honest for small
    counts. `p` is McNemar's exact test: the probability that two equally good answerers would split
    those questions at least as unevenly. Raises ValueError if the lists are empty or differ in
    length.
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            f"answers must come in pairs, at least one, got {len(first)} and {len(second)}"
        )
    of = len(first)
    first_only = sum(a and not b for a, b in zip(first, second))
    second_only = sum(b and not a for a, b in zip(first, second))
    p, q = (first_only + 1) / (of + 2), (second_only + 1) / (of + 2)
    half = Z * math.sqrt((p + q - (p - q) ** 2) / (of + 2))
    split = first_only + second_only
    numbers = {
        "difference": (first_only - second_only) / of,
        "low": max(-1.0, p - q - half),
        "high": min(1.0, p - q + half),
        "p": binomtest(first_only, split).pvalue if split else 1.0,
    }
    counts = {"of": of, "first_only": first_only, "second_only": second_only}
    return counts | _rounded(numbers)


def mean_interval(numbers: list[float]) -> dict:
    """A mean and its 95 % interval, computed from the spread of the numbers.

    Raises ValueError for fewer than two numbers.
    """
    of = len(numbers)
    if of < 2:
        raise ValueError(f"an interval must have at least 2 numbers, got {of}")
    mean = sum(numbers) / of
    deviation = math.sqrt(sum((x - mean) ** 2 for x in numbers) / (of - 1))
    half = Z * deviation / math.sqrt(of)
    return {"of": of} | _rounded({"mean": mean, "low": mean - half, "high": mean + half})


def against(table: dict[str, list[float]], base: str) -> dict[str, dict]:
    """Rows of numbers, column by column under equal conditions -> each row's mean less the base's

    With a 95 % interval and p, the probability of at least such a difference between equal rows.
    Three numbers say little about how far they spread, so that one spread is taken from the whole
    table: from what remains when the means of rows and columns are removed (Fisher's randomised
    blocks). Raises ValueError for fewer than two rows or columns, or rows of several lengths.
    """
    lengths = {len(row) for row in table.values()}
    if len(table) < 2 or len(lengths) > 1 or min(lengths) < 2:
        raise ValueError(f"at least 2 rows must have equally many numbers, at least 2; {lengths}")
    numbers = np.array(list(table.values()), float)
    rest = numbers - numbers.mean(1, keepdims=True) - numbers.mean(0) + numbers.mean()
    rows, columns = numbers.shape
    free = (rows - 1) * (columns - 1)
    variance = (rest**2).sum() / free
    error = math.sqrt(2 * variance / columns)  # standard error of a difference of two means
    half = t.ppf((1 + CONFIDENCE) / 2, free) * error
    rows_less_base = {}
    for name, row in table.items():
        if name != base:
            mean = np.mean(row) - np.mean(table[base])
            p = 2 * t.sf(abs(mean) / error, free) if error else float(not mean)
            rows_less_base[name] = _rounded(
                {"mean": mean, "low": mean - half, "high": mean + half, "p": p}, 5
            )
    return rows_less_base


def bounded_mean(numbers: list[float]) -> dict:
    """A mean of numbers from 0 to 1 and its 95 % interval, Wilson's with the mean for the share.

    Such numbers spread at most as much as zeros and ones of the same mean do, so the interval errs
    on the safe side, and it has a width even where all numbers are 1. Raises ValueError for none.
    """
    of = len(numbers)
    if of == 0:
        raise ValueError("a mean must have at least 1 number, got none")
    mean = sum(numbers) / of
    middle = (mean + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z / (1 + Z**2 / of) * math.sqrt(mean * (1 - mean) / of + (Z / (2 * of)) ** 2)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"of": of} | _rounded({"mean": mean, "low": low, "high": high})


def mean_of_shares(rows: list[dict]) -> dict:
    """Results of `interval` on separate questions -> the mean of their shares, a 95 % interval

    Each share's distance from its own bound counts as its error, and the errors add in squares
    (Zou and Donner, 2008), so that shares of 1 widen the interval, too.
    """
    count = len(rows)
    mean = sum(row["share"] for row in rows) / count
    below = math.sqrt(sum((row["share"] - row["low"]) ** 2 for row in rows)) / count
    above = math.sqrt(sum((row["high"] - row["share"]) ** 2 for row in rows)) / count
    return {"of": count} | _rounded({"mean": mean, "low": mean - below, "high": mean + above})


def _rounded(numbers: dict, digits: int = 4) -> dict:
    return {key: round(float(value), digits) for key, value in numbers.items()}
