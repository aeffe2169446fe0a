"""Intervals hold what they promise: known values, corners, and how often they hold the truth."""

import math
import random

import numpy as np
import pytest
from scipy.stats import ttest_rel

from qwenimage_ref.evaluate.intervals import (
    CONFIDENCE,
    against,
    bounded_mean,
    interval,
    mean_interval,
    mean_of_shares,
    paired,
)


@pytest.mark.parametrize(
    "right, of, low, high",
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_the_interval_is_wilson_s(right, of, low, high):
    found = interval(right, of)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize("right, of", [(0, 7), (3, 7), (193, 200), (972, 1000)])
def test_the_interval_solves_wilson_s_equation_at_both_ends(right, of):
    bounds = interval(right, of)
    for p in (bounds["low"], bounds["high"]):
        if 0 < p < 1:  # |right / of - p| is 1.96 standard errors of p
            assert abs(right / of - p) / math.sqrt(p * (1 - p) / of) == pytest.approx(
                1.96, rel=0.02
            )


def test_no_trials_no_claim():
    assert interval(0, 0) == {"right": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}


def outcomes(both=0, first=0, second=0, neither=0):
    pairs = both * [(1, 1)] + first * [(1, 0)] + second * [(0, 1)] + neither * [(0, 0)]
    return [list(map(bool, side)) for side in zip(*pairs)]


def test_only_questions_that_split_the_pair_count_for_the_difference():
    found = paired(*outcomes(both=60, first=12, second=4, neither=24))
    assert (found["of"], found["first_only"], found["second_only"]) == (100, 12, 4)
    assert found["difference"] == 0.08
    # McNemar's exact test: 16 throws of a coin, 4 or fewer heads, both ways
    assert found["p"] == pytest.approx(
        2 * sum(math.comb(16, i) for i in range(5)) / 2**16, abs=1e-4
    )


def test_equal_answers_are_no_proof_of_equality():
    found = paired(*outcomes(both=20))
    assert (found["difference"], found["p"]) == (0, 1)
    assert found["low"] < -0.08 and found["high"] > 0.08, "20 captions cannot say more"


def test_a_swapped_pair_has_the_opposite_difference():
    a, b = outcomes(both=3, first=7, second=2)
    there, back = paired(a, b), paired(b, a)
    assert [there["difference"], there["low"], there["high"]] == [
        -back["difference"], -back["high"], -back["low"]
    ]  # fmt: skip


@pytest.mark.parametrize("first, second", [([True], []), ([], [])])
def test_answers_without_a_partner_are_refused(first, second):
    with pytest.raises(ValueError, match="in pairs"):
        paired(first, second)


def share_of_hits(intervals, truth) -> float:
    found = [low <= truth <= high for low, high in intervals]
    return sum(found) / len(found)


def test_nineteen_in_twenty_intervals_hold_the_truth():
    rng = random.Random(0)
    shares, differences = [], []
    for _ in range(2000):
        first = [rng.random() < 0.9 for _ in range(60)]
        second = [a if rng.random() < 0.8 else rng.random() < 0.6 for a in first]
        single, pair = interval(sum(first), 60), paired(first, second)
        shares.append((single["low"], single["high"]))
        differences.append((pair["low"], pair["high"]))
    assert 0.93 <= share_of_hits(shares, 0.9) <= 0.98
    # Bonett and Price are on the safe side where few questions split the pair
    assert 0.94 <= share_of_hits(differences, 0.2 * (0.9 - 0.6)) <= 0.99


def test_a_mean_has_the_interval_of_its_standard_error():
    found = mean_interval([30.0, 34.0, 32.0, 36.0])
    half = 1.96 * math.sqrt(20 / 3 / 4)
    assert found == {"of": 4, "mean": 33.0, "low": round(33 - half, 4), "high": round(33 + half, 4)}


def test_one_number_has_no_spread():
    with pytest.raises(ValueError, match="at least 2"):
        mean_interval([3.0])


@pytest.mark.parametrize("right, of", [(0, 7), (3, 7), (7, 7), (193, 200)])
def test_a_mean_of_zeros_and_ones_has_the_interval_of_their_share(right, of):
    single = interval(right, of)
    mean = bounded_mean([1.0] * right + [0.0] * (of - right))
    assert mean == {"of": of, "mean": single["share"], "low": single["low"], "high": single["high"]}


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        bounded_mean([])


def test_one_share_is_its_own_mean():
    single = interval(9, 10)
    mean = mean_of_shares([single])
    assert [mean[key] for key in ("mean", "low", "high")] == [0.9, single["low"], single["high"]]


def test_nineteen_in_twenty_means_of_shares_hold_the_truth():
    rng, truths, means = np.random.default_rng(0), (0.99, 0.9, 0.7, 0.95, 0.8), []
    rows = [interval(right, 100) for right in range(101)]
    for rights in rng.binomial(100, truths, (4000, 5)):
        mean = mean_of_shares([rows[right] for right in rights])
        means.append((mean["low"], mean["high"]))
    assert 0.93 <= share_of_hits(means, sum(truths) / 5) <= 0.97


def test_rows_of_a_table_are_compared_with_one_by_what_rows_and_columns_leave():
    """Fisher's blocks: F of two rows is the square of the paired t-test's t."""
    rows = {"a": [1.0, 2.0, 4.0], "b": [2.5, 3.0, 6.0]}
    result = against(rows, "a")["b"]
    theirs = ttest_rel(rows["b"], rows["a"])
    bounds = theirs.confidence_interval(CONFIDENCE)
    assert result["mean"] == pytest.approx(sum(rows["b"]) / 3 - sum(rows["a"]) / 3, abs=1e-5)
    assert (result["low"], result["high"]) == pytest.approx((bounds.low, bounds.high), abs=1e-4)
    assert result["p"] == pytest.approx(theirs.pvalue, abs=1e-5)


def test_intervals_against_a_row_hold_the_truth_nineteen_times_in_twenty():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        columns = rng.normal(size=3)  # luck that all rows share
        table = {f"{i}": list(columns + 0.1 * rng.normal(size=3)) for i in range(6)}
        inside += sum(row["low"] < 0 < row["high"] for row in against(table, "0").values())
    assert 0.93 < inside / (400 * 5) < 0.97


def test_rows_that_are_alike_differ_by_nothing():
    assert against({"a": [1.0, 2.0], "b": [1.0, 2.0]}, "a")["b"] == {
        "mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "rows", [{"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1, 2], "b": [1]}]
)
def test_a_table_needs_two_rows_of_equally_many_numbers(rows):
    with pytest.raises(ValueError, match="at least 2 rows must have equally many numbers"):
        against(rows, "a")
