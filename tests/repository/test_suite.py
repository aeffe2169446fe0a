"""The suite itself: limits that scale with the machine, long files first, nothing left out."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import order, speed

ROOT = Path(__file__).resolve().parents[2]
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


def test_no_two_files_of_tests_have_the_same_name():
    """pytest imports them by their names, so that the second would stop the whole run."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)) and len(names) > 100


def test_every_file_whose_duration_is_recorded_exists():
    recorded = json.loads(order.RECORD.read_text())
    assert [name for name in recorded if not (ROOT / name).is_file()] == []


def dry_run(target: str) -> str:
    """The last command that `make target` would give, without the installation before it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/.made", target]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True).stdout


def test_make_test_and_make_test_slow_run_every_notebook_once_between_them():
    quick, slow = (dry_run(target).split() for target in ("test", "test-slow"))
    names = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "notebooks").glob("*.ipynb"))
    assert sorted(word for word in quick + slow if word.startswith("notebooks/")) == names


def test_what_make_test_leaves_out_are_the_files_that_make_test_slow_runs():
    quick, slow = (dry_run(target).split() for target in ("test", "test-slow"))
    files = {word for word in slow if word.startswith(("notebooks/", "tests/"))}
    files -= {"tests/nbval_sanitize.cfg"}
    ignored = {word.removeprefix("--ignore=") for word in quick if word.startswith("--ignore=")}
    assert len(files) == 41 and ignored <= files and not files & set(quick)


def test_continuous_integration_runs_the_quick_and_the_slow_tests():
    assert re.findall(r"^make .*", CI, re.M) == ["make test", "make test-slow"]


def test_what_is_computed_twice_may_differ_by_a_few_steps_of_its_own_size():
    # another processor adds up in another order, and a 4 has no neighbour nearer than 5e-7
    strict = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                bounds = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                if bounds.get("rtol") == 0 and 0 < (bounds.get("atol") or 0) < 1e-5:
                    strict.append(f"{file.name}:{node.lineno}")
    assert strict == []
