"""The mutation tester: what it changes and leaves alone, how it tries a change, how it counts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import mutate, speed
from helpers.attempts import Outcome
from helpers.code_mutants import Mutant, mutants_of
from helpers.covering import Order, Watched


def changes(source: str) -> set[str]:
    return {mutant.after for mutant in mutants_of(source)}


@pytest.mark.parametrize(
    "source, expected",
    [
        ("a + b", {"(a - b)"}),
        ("a <= b", {"(a < b)"}),
        ("a in b", {"(a not in b)"}),
        ("a and b", {"(a or b)"}),
        ("not a", {"a"}),
        ("x = 3", {"4"}),
        ("x = 1e-5", {"0.0001"}),
        ("x = True", {"False"}),
        ("x = '.webp'", {"'.webpx'"}),
        ("f(a, b)", {"f(b, a)", "pass"}),
        ("x = f(a, key=b)", {"f(a)"}),
        ("x = path.resolve()", {"path"}),
    ],
)
def test_each_kind_of_expression_has_its_changes(source, expected):
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Words."""',
        "def f(a: int) -> int: ...",
        "raise ValueError(1 + 1)",
        "x = f'{a + 1}'",
        "import math\nx = math.prod(a)",
        "from os import path",
    ],
)
def test_words_annotations_errors_and_functions_of_modules_are_left_alone(source):
    assert changes(source) - {"..."} == set()


def test_a_mutant_changes_its_own_place_and_nothing_else():
    source = "def f(é, b):  # ünicode\n    return (é +\n            b) * 2\n"
    after = {mutant.applied(source) for mutant in mutants_of(source)}
    assert "def f(é, b):  # ünicode\n    return (é +\n            b) * 3\n" in after
    assert all(text.startswith("def f(é, b):  # ünicode\n    return ") for text in after)


def test_a_seed_draws_the_same_mutants_and_another_seed_others():
    source = "\n".join(f"x{i} = {i} + y" for i in range(50))
    first, again, other = (mutate.sample(source, 10, seed) for seed in (1, 1, 2))
    assert first == again != other and len(first) == 10
    assert first == sorted(first)


ALIVE = [Mutant(3, 0, 3, 5, "a + b", "(a - b)"), Mutant(9, 0, 9, 1, "1", "2")]
DRAW = {"seed": 0, "commit": "1234", "machine": "2 x 8086", "drawn": 10}


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(mutate, "TABLE", tmp_path / "mutation.json")
    return mutate.TABLE


def test_a_survivor_with_a_reason_is_left_out_of_the_rate(table):
    assert mutate.rate(mutate.record("vae.py", DRAW, ALIVE)) == (8, 10)
    content = json.loads(table.read_text())
    content["files"]["vae.py"][0]["survivors"][1]["same"] = "the axis has length one"
    table.write_text(json.dumps(content))
    assert mutate.rate(mutate.record("vae.py", DRAW, ALIVE)) == (8, 9)


def test_another_seed_or_commit_is_another_row_and_the_same_again_takes_its_place(table):
    for change in ({}, {"seed": 1}, {"commit": "5678"}, {"seed": 1}):
        mutate.record("vae.py", DRAW | change, ALIVE)
    rows = json.loads(table.read_text())["files"]["vae.py"]
    expected = [(0, "1234"), (0, "5678"), (1, "1234")]
    assert sorted((row["seed"], row["commit"]) for row in rows) == expected


# a suite in the background of a shell ignores Ctrl-C, and its processes inherit that
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def python(folder: Path, script: str) -> subprocess.Popen:
    """A process of its own, whose temporary files lie in a folder."""
    names = {"PYTHONPATH": str(mutate.ROOT / "tests"), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", f"{INTERRUPTIBLE}; from helpers.mutate import *; {script}"],
        env=os.environ | names, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def tried(folder: Path, test: str, script: str) -> str:
    """What a script prints about a file of tests, `tests`."""
    file = folder / "test_one.py"
    file.write_text(test)
    return python(folder, f"tests = [{str(file)!r}]; {script}").communicate()[0].strip()


@pytest.mark.parametrize(
    "body, expected",
    [("pass", "False"), ("assert 0", "True"), ("import os; os._exit(0)", "True")],
    ids=["passing", "failing", "leaving"],
)
def test_a_change_is_noticed_when_a_test_fails_or_ends_its_process(tmp_path, body, expected):
    script = "print(attempt({}, tests, Limit(60, 600)).failed)"
    assert tried(tmp_path, f"def test_one():\n    {body}\n", script) == expected


@pytest.mark.parametrize(
    "body, limit",
    [("while True: pass", "Limit(1, 600)"), ("import time; time.sleep(900)", "Limit(600, 1)")],
    ids=["computing", "waiting"],
)
def test_a_change_that_never_ends_is_ended_and_counts_as_noticed(tmp_path, body, limit):
    script = f"print(attempt({{}}, tests, {limit}).failed)"
    assert tried(tmp_path, f"def test_one():\n    {body}\n", script) == "True"


def test_a_changed_source_is_imported_and_its_file_left_alone(tmp_path):
    file = tmp_path / "source.py"
    file.write_text("number = 1\n")
    test = "import source\n\ndef test_one():\n    assert source.number == 1\n"
    script = f"print(attempt({{Path({str(file)!r}): 'number = 2'}}, tests, Limit(60, 600)).failed)"
    assert tried(tmp_path, test, script) == "True"
    assert file.read_text() == "number = 1\n"


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupted_attempt_leaves_no_process_and_no_file(tmp_path):
    temporary, note = tmp_path / "temporary", tmp_path / "note"
    temporary.mkdir()
    test = (
        "import os, pathlib, time\n\n"
        "def test_one(tmp_path):\n"
        f"    note = pathlib.Path({str(note)!r})\n"
        "    note.with_suffix('.new').write_text(str(os.getpid()))\n"
        "    note.with_suffix('.new').rename(note)\n"
        "    time.sleep(900)\n"
    )
    (tmp_path / "test_one.py").write_text(test)
    script = f"attempt({{}}, [{str(tmp_path / 'test_one.py')!r}], Limit(600, 600))"
    runner = python(temporary, script)
    give_up = time.monotonic() + speed.wall_seconds(30)
    while not note.exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=speed.wall_seconds(30))
    assert not is_running(int(note.read_text()))
    assert list(temporary.iterdir()) == []


def test_a_slow_or_loaded_machine_is_given_more_time_for_a_change(monkeypatch):
    monkeypatch.setenv(speed.CPU, "2")
    watched = Watched({"a.py::one": 4, "a.py::two": 6, "b.py::one": 100}, {})
    limit = mutate.limit_of(["a.py"], watched, load=4)
    assert limit.cpu == 2 * mutate.SPARE + mutate.PATIENCE * 10
    assert limit.wall == 4 * speed.SPARE * limit.cpu


def test_the_load_of_the_machine_is_measured_while_the_unchanged_tests_run(monkeypatch):
    def attempt(changed, tests, limit, recorder):
        recorder.pytest_sessionfinish()
        return Outcome(failed=False, cpu=10, wall=40)

    monkeypatch.setattr(mutate, "attempt", attempt)
    assert mutate.watch([], []) == (Watched({}, {}), 4)


TWO_TESTS = """
import pytest
import source

@pytest.fixture(scope="module")
def three():
    return source.three()

def test_one(three):
    assert source.one() == 1

def test_two(three):
    assert source.two() == 2
"""


def test_a_line_is_run_by_its_tests_and_a_fixture_s_by_all_of_its_file(tmp_path):
    file = tmp_path / "source.py"
    file.write_text("".join(f"def {n}():\n    return {i}\n" for i, n in enumerate(
        ("zero", "one", "two", "three"))))  # fmt: skip
    script = (
        f"file = Path({str(file)!r}); seen, load = watch([file], tests); "
        "print([sorted(name.split('::')[1] for name in seen.running(str(file), range(n, n + 1))) "
        "for n in (2, 4, 6, 8)])"
    )
    expected = [[], ["test_one"], ["test_two"], ["test_one", "test_two"]]
    assert tried(tmp_path, TWO_TESTS, script) == str(expected)


def test_the_quickest_tests_that_run_a_changed_line_come_first():
    seconds = {"a::1": 5, "a::2": 1, "b::1": 0.5, "b::2": 3, "c::1": 9, "c::2": 0.1}
    items = [SimpleNamespace(nodeid=name) for name in seconds]
    Order(Watched(seconds, {}), {"a::2", "c::1", "c::2"}).pytest_collection_modifyitems(items)
    expected = ["a::2", "c::2", "c::1", "b::1", "b::2", "a::1"]
    assert [item.nodeid for item in items] == expected


def test_every_file_of_the_package_has_tests_that_are_run_for_its_mutants():
    package = mutate.ROOT / "qwenimage_ref"
    files = [file for file in package.rglob("*.py") if file.name != "__init__.py"]
    assert [str(file) for file in files if not mutate.tests_of(file)] == []
