"""The mutation tester: what it changes, what it leaves alone, and how it counts."""

import json

import pytest
from helpers import mutate
from helpers.code_mutants import Mutant, mutants_of


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


def test_a_survivor_with_a_reason_is_left_out_of_the_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(mutate, "TABLE", tmp_path / "mutation.json")
    alive = [Mutant(3, 0, 3, 5, "a + b", "(a - b)"), Mutant(9, 0, 9, 1, "1", "2")]
    assert mutate.rate(mutate.record("vae.py", 0, 10, alive)) == (8, 10)
    table = json.loads(mutate.TABLE.read_text())
    table["files"]["vae.py"]["survivors"][1]["same"] = "the axis has length one"
    mutate.TABLE.write_text(json.dumps(table))
    assert mutate.rate(mutate.record("vae.py", 0, 10, alive)) == (8, 9)


def test_every_file_of_the_package_has_tests_that_are_run_for_its_mutants():
    package = mutate.ROOT / "qwenimage_ref"
    files = [file for file in package.rglob("*.py") if file.name != "__init__.py"]
    assert [str(file) for file in files if not mutate.tests_of(file)] == []
