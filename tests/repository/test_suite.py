"""The suite itself: limits that scale with the machine, long files first, nothing left out."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import order, speed

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def spin():
    sum(i * i for i in range(300_000))


def test_a_block_may_use_the_time_it_is_allowed():
    with speed.at_most(60):
        spin()


def test_a_block_that_uses_more_than_it_is_allowed_fails_with_both_times(monkeypatch):
    monkeypatch.setenv(speed.CPU, "1")
    with pytest.raises(AssertionError, match=r"s of processor time, 0\.00 allowed"):
        with speed.at_most(1e-4):
            spin()


def test_a_machine_three_times_slower_is_given_three_times_as_long(monkeypatch):
    monkeypatch.setenv(speed.CPU, "3")
    monkeypatch.setenv(speed.WALL, "6")
    assert speed.cpu_seconds(2) == 6
    assert speed.wall_seconds(2) == 12 * speed.SPARE


def test_a_faster_machine_is_held_to_the_limits_as_written(monkeypatch):
    monkeypatch.delenv(speed.CPU)
    monkeypatch.setattr(speed, "_work", lambda: None)
    speed.calibrate()
    assert speed.cpu_seconds(2) == 2


def test_a_test_is_ended_only_long_after_what_it_is_allowed(request):
    allowed = float(request.config.getini("timeout"))
    assert request.config.option.timeout >= allowed * speed.SPARE


def test_long_files_come_first_and_their_tests_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "RECORD", tmp_path / "record.json")
    order.RECORD.write_text(json.dumps({"b.py": 2, "c.py": 9}))
    names = ["a.py::one", "b.py::one", "b.py::two", "c.py::one", "d.py::one"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    order.long_files_first(items)
    expected = ["c.py::one", "b.py::one", "b.py::two", "a.py::one", "d.py::one"]
    assert [item.nodeid for item in items] == expected


def test_every_file_whose_duration_is_recorded_exists():
    assert [
        name for name in json.loads(order.RECORD.read_text()) if not (ROOT / name).exists()
    ] == []


def slow_files() -> list[str]:
    return re.search(r"^SLOW :=((?:.*\\\n)*.*)", MAKEFILE, re.M)[1].replace("\\\n", " ").split()


def test_six_existing_files_are_left_to_make_test_slow():
    slow = slow_files()
    assert len(set(slow)) == 6 and all((ROOT / name).is_file() for name in slow)


def test_continuous_integration_runs_the_quick_and_the_slow_tests():
    assert re.findall(r"^make .*", CI, re.M) == ["make test", "make test-slow"]
