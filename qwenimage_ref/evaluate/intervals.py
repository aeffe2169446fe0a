"""How sure is a share that was counted on few pictures? 95 % intervals, alone and in pairs."""

import math

Z = 1.96  # standard errors on either side that hold the truth 95 times in 100


def interval(right: int, of: int) -> dict:
    """A share and its 95 % interval after Wilson, which does not leave 0 to 1 as others do."""
    if of == 0:
        return {"right": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}
    share = right / of
    middle = (share + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z / (1 + Z * Z / of) * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of))
    numbers = {"share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}
    return {"right": right, "of": of} | {key: round(value, 4) for key, value in numbers.items()}


def paired(first: list[bool], second: list[bool]) -> dict:
    """The same questions asked twice -> the difference of the shares, first minus second.

    Only questions answered right once and wrong once tell the two apart: the interval is of those
    (Bonett and Price, who add one of each kind, so that it is honest for few), and so is `p`, the
    chance that two equals split them as unevenly as this (McNemar's test, exact).
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} answers; pairs are needed, at least one")
    of = len(first)
    ahead = sum(a and not b for a, b in zip(first, second))
    behind = sum(b and not a for a, b in zip(first, second))
    more, less = (ahead + 1) / (of + 2), (behind + 1) / (of + 2)
    half = Z * math.sqrt((more + less - (more - less) ** 2) / (of + 2))
    numbers = {
        "difference": (ahead - behind) / of,
        "low": max(-1.0, more - less - half),
        "high": min(1.0, more - less + half),
        "p": _even_split(min(ahead, behind), ahead + behind),
    }
    counts = {"of": of, "first_only": ahead, "second_only": behind}
    return counts | {key: round(value, 4) for key, value in numbers.items()}


def _even_split(fewer: int, of: int) -> float:
    """The chance that a fair coin, thrown `of` times, is as lopsided as this or more."""
    return min(1.0, 2 * sum(math.comb(of, i) for i in range(fewer + 1)) / 2**of)


def mean_interval(numbers: list[float]) -> dict:
    """A mean and its 95 % interval from the spread of the numbers, as for dB and for SSIM."""
    of = len(numbers)
    if of < 2:
        raise ValueError(f"{of} numbers have no spread; at least 2 are needed")
    mean = sum(numbers) / of
    spread = math.sqrt(sum((x - mean) ** 2 for x in numbers) / (of - 1))
    half = Z * spread / math.sqrt(of)
    bounds = {"mean": mean, "low": mean - half, "high": mean + half}
    return {"of": of} | {key: round(value, 4) for key, value in bounds.items()}
