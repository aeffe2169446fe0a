"""The table of comparisons: its tests exist, with its tolerances, and the page shows the record."""

import ast
import json
import math
import re
from itertools import pairwise
from types import SimpleNamespace

import pytest
from helpers import oracles
from helpers.oracle_rows import ROWS

from qwenimage_ref.parity.tolerances import TOLERANCES

ROOT = oracles.ROOT
RECORD = json.loads(oracles.RECORD.read_text(encoding="utf-8"))
SHARED = ROOT / "tests" / "helpers" / "painting_over.py"  # a helper that compares pictures
COMPARING = ("within", "assert_agreement")  # functions that are given a tolerance's name
each_row = pytest.mark.parametrize("row", RECORD["rows"], ids=lambda row: row["what"])


def functions(file) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def tolerances_named_by(test: str) -> set[str]:
    """Tolerances in a test, and in the functions of its file and of SHARED that it calls"""
    file, name = test.split("::")
    known = functions(SHARED) | functions(ROOT / file)
    reached, names = [name], set()
    for function in reached:  # grows
        for node in ast.walk(known[function]):
            if isinstance(node, ast.Name) and node.id in known and node.id not in reached:
                reached.append(node.id)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in COMPARING:
                names |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return names


# -- the record -----------------------------------------------------------------------------------


def test_the_record_has_the_rows_that_are_listed_and_every_test_once():
    listed = [row._asdict() for row in ROWS]
    assert [{key: row[key] for key in ROWS[0]._fields} for row in RECORD["rows"]] == listed
    assert len({row.test for row in ROWS}) == len(ROWS) >= 28
    parts = [row.part for row in ROWS]
    assert len({*parts}) == 1 + sum(a != b for a, b in pairwise(parts))  # one heading a part


@each_row
def test_the_test_of_a_row_exists(row):
    file, name = row["test"].split("::")
    assert name in functions(ROOT / file)


@each_row
def test_a_row_has_the_tolerances_of_its_test_and_distances_within_them(row):
    assert row["compared"].keys() == tolerances_named_by(row["test"])
    for name, each in row["compared"].items():
        assert each["tolerance"] == TOLERANCES[name].value
        assert 0 <= each["distance"] <= each["tolerance"]


def test_the_record_was_measured_beside_the_versions_that_are_installed():
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in ("diffusers", "transformers"):
        assert RECORD["versions"][name] == re.search(rf"^{name}==(\S+)", locked, re.M)[1]


def test_the_page_shows_the_record():
    text = oracles.PAGE.read_text(encoding="utf-8")
    assert text == oracles.page_of(RECORD)
    stored = [row for row in ROWS if any(f"{{{name}}}" in row.oracle for name in oracles.FIXTURES)]
    assert text.count("| DiffSynth-Studio 2.1.12, ") == len(stored) >= 6
    assert all(f"| `{row.test}` |" in text for row in ROWS)


# -- how it is written ----------------------------------------------------------------------------


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(oracles, "TOLERANCES", dict(TOLERANCES))
    return oracles.Recorder()


def run(recorder, nodeid: str, test) -> None:
    """What pytest does with a plugin's hook around a test"""
    hook = recorder.pytest_runtest_call(SimpleNamespace(nodeid=nodeid))
    next(hook)
    test()
    with pytest.raises(StopIteration):
        hook.send(None)


def bound(name: str):
    return oracles.TOLERANCES[name].value


def test_the_largest_distance_that_a_test_compares_is_noted_by_tolerance(recorder):
    def test():
        assert 0.5e-6 <= bound("mmdit") and 0.2e-6 <= bound("mmdit") and 0 <= bound("tokens")

    run(recorder, "a", test)
    run(recorder, "b", lambda: 1 <= bound("picture"))
    assert recorder.compared == {"a": {"mmdit": 0.5e-6, "tokens": 0}, "b": {"picture": 1}}


def test_a_tolerance_that_is_watched_bounds_as_before(recorder):
    limit = TOLERANCES["mmdit"].value
    assert limit <= bound("mmdit") and not limit * 1.001 <= bound("mmdit")
    assert not math.nan <= bound("mmdit") and not math.inf <= bound("mmdit")
    assert f"{bound('mmdit'):.0e}" == "1e-06" and type(TOLERANCES["mmdit"].value) is float


def test_a_row_is_the_largest_distance_of_all_cases(recorder):
    compared = {row.test: {"mmdit": 0.0} for row in ROWS[1:]}
    cases = {f"{ROWS[0].test}[{n}]": {"stack": n * 1e-7, "vae": 0.0} for n in (3, 4, 1)}
    first, *_ = oracles.rows_of(compared | cases)
    assert first["test"] == ROWS[0].test and list(first["compared"]) == ["stack", "vae"]
    assert first["compared"]["stack"] == {"distance": 4e-7, "tolerance": 1e-5}


@pytest.mark.parametrize("cases", [{}, {"": {}}, {"[a]": {"mmdit": 0.0}, "[b]": {}}], ids=str)
def test_a_listed_test_that_compares_nothing_is_one_line(recorder, cases):
    compared = {row.test: {"mmdit": 0.0} for row in ROWS[1:]}
    compared |= {f"{ROWS[0].test}{case}": each for case, each in cases.items()}
    with pytest.raises(ValueError, match="must compare a number with a tolerance, got none"):
        oracles.rows_of(compared)


def test_nothing_is_written_unless_every_test_passes(recorder, monkeypatch, capsys):
    monkeypatch.setattr(oracles.pytest, "main", lambda words, plugins: 1)
    monkeypatch.setattr(oracles, "write", lambda record: pytest.fail("written"))
    assert oracles.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "all tests of the table must pass" in line
