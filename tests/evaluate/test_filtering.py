"""The measurement of the filters: every number counts what its name says."""

import pytest

from qwenimage_ref.evaluate import filtering
from qwenimage_ref.evaluate.defects import DEFECTS


@pytest.fixture
def counted(monkeypatch):
    """Seven posters whose defects, and what is found on them, are made up"""
    posters = [
        ("clarity", ["clarity", "luma"]),
        ("clarity", []),
        (None, ["clarity"]),
        (None, []),
        (None, []),
        ("luma", ["luma", "clarity"]),
        ("luma", ["luma"]),
    ]
    monkeypatch.setattr(filtering, "planted", lambda seed: (b"", str(seed), posters[seed][0]))
    monkeypatch.setattr(
        filtering, "found_by", lambda content, caption, *_: posters[int(caption)][1]
    )
    return filtering.measure(7, first=0, quiet=True)


def test_recall_is_the_share_of_the_planted_that_is_found(counted):
    recall = {name: row["recall"] for name, row in counted["filters"].items()}
    assert (recall["clarity"]["right"], recall["clarity"]["of"]) == (1, 2)
    assert recall["luma"]["share"] == 1


def test_precision_is_over_whole_posters_and_the_own_defect(counted):
    precision = counted["filters"]["clarity"]["precision"]
    assert (precision["right"], precision["of"]) == (1, 2)
    assert counted["filters"]["luma"]["precision"]["of"] == 2


def test_what_is_found_on_other_defects_is_counted_beside(counted):
    elsewhere = {name: row["elsewhere"] for name, row in counted["filters"].items()}
    assert elsewhere["clarity"] == elsewhere["luma"] == 1


def test_whole_posters_that_no_filter_removes_are_counted(counted):
    assert (counted["whole"]["right"], counted["whole"]["of"]) == (2, 3)


def test_on_true_posters_every_filter_finds_most_and_errs_rarely():
    result = filtering.measure(150, first=0, quiet=True)
    rows = result["filters"]
    assert rows.keys() == DEFECTS.keys()
    found, planted = (sum(row["recall"][key] for row in rows.values()) for key in ("right", "of"))
    assert found >= 0.93 * planted and planted > 40
    assert result["whole"]["share"] >= 0.96
