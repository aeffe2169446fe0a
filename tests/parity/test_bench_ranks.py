"""What is recorded of training over 1, 2 and 4 processes, and README's table of it."""

import json

import pytest
import torch

from qwenimage_ref.parity.bench import ranks, sharded
from qwenimage_ref.repository import ROOT

HEADING = ranks.HEADING[0]


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads(sharded.FILE.read_text(encoding="utf-8"))["ranks"]


@pytest.fixture(params=map(str, ranks.COUNTS))
def row(request, record) -> tuple[int, dict]:
    return int(request.param), record["processes"][request.param]


def test_every_process_has_its_share_of_the_weights(row, record):
    count, measured = row
    assert measured["bytes"] == pytest.approx([record["weights"] / count] * count, rel=0.01)


@pytest.mark.parametrize(("few", "many"), [("1", "2"), ("2", "4")])
def test_a_process_takes_less_memory_by_five_numbers_for_each_weight_it_no_longer_has(
    few, many, record
):
    fewer, more = (record["processes"][count] for count in (few, many))
    gone = max(fewer["bytes"]) - max(more["bytes"])
    assert fewer["peak"] - more["peak"] > 5 * gone  # weight, gradient, two moments, average


def test_the_weights_end_where_those_of_one_process_do(row, record):
    count, measured = row
    apart, moved = measured["difference"], record["moved"]
    # sums are rounded in another order, and AdamW enlarges that where a gradient is nearly zero
    assert apart["rms"] <= 1e-7 and apart["rms"] <= 1e-4 * moved["rms"]
    assert apart["largest"] <= 0.01 * moved["largest"]
    assert count > 2 or apart["largest"] <= 2e-5


def test_the_table_of_the_readme_is_that_of_the_record(record):
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = ranks.table(record)
    first = lines.index(HEADING)
    assert lines[first : first + len(rows) + 1] == [*rows, ""]


def test_differences_are_the_largest_and_the_mean_of_all():
    ours, theirs = {"a": torch.zeros(3), "b": torch.zeros(1)}, {"a": torch.zeros(3)}
    with pytest.raises(ValueError, match="the same names"):
        ranks.differences(ours, theirs)
    theirs["b"] = torch.tensor([2.0])
    assert ranks.differences(ours, theirs) == (2.0, 1.0)


def test_a_part_that_is_recorded_leaves_the_others(tmp_path, monkeypatch, capsys):
    file = tmp_path / "sharded.json"
    file.write_text(json.dumps({"pair": {"one": 1.0}}))
    monkeypatch.setattr(sharded, "FILE", file)
    monkeypatch.setitem(sharded.COMMANDS, "ranks", lambda: {"steps": 1})
    monkeypatch.setattr(sharded.sys, "argv", ["sharded", "ranks", "--record"])
    sharded.main()
    stored = json.loads(file.read_text())
    assert stored["pair"] == {"one": 1.0} and stored["ranks"]["steps"] == 1
    assert {"machine", "versions", "commit", "command"} <= stored["ranks"].keys()
