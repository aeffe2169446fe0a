"""Second variants: solved by their own answers and not by the course's; learners get neither."""

import functools
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbgrader.nbgraderformat import MetadataValidator

from qwenimage_ref.course import answers
from qwenimage_ref.course.publish import build, editions, variants

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = {  # exercises that have no second variant, and why
    "ex_02_dear": "a search, whose answers are checked and not stored",
    "ex_03_layer": "the layer is the chapter itself; its four pieces have variants",
    "ex_06_heads": "a step of ex_06_block",
    "ex_06_block": "the block is the chapter itself; joint, residual and mask have variants",
    "ex_07_mmdit": "the transformer is the chapter itself; its four pieces have variants",
    "ex_09_paint": "the pipeline is the chapter itself; its steps have variants",
    "ex_10_still": "which layers are still has one answer for this architecture",
    "ex_11_diagnose": "needs five other patients, painted with the bugs",
    "ex_23_released": "an exercise of four stars that is discussed, not examined",
    "ex_24_halves": "an exercise of four stars that is discussed, not examined",
}
every_file = pytest.mark.parametrize("source", variants.sources(), ids=lambda path: path.stem)


WRONG_CALLS = (TypeError, ValueError, RuntimeError)  # with another variant's arguments


@functools.cache
def edition(kind: str, source: Path) -> nbformat.NotebookNode:
    return variants.edition(kind, source)


@functools.cache
def graded() -> dict[str, editions.Exercise]:
    """The course's own exercises by name."""
    folder = editions.EDITIONS / "teacher"
    listed = [editions.edition("teacher", path, folder)[1] for path in build.sources()]
    return {exercise.name: exercise for exercises in listed for exercise in exercises}


def pairs(source: Path, kind: str) -> list[tuple]:
    """The cells of solutions with the cells of their tests."""
    cells = edition(kind, source).cells
    marked = [cell for cell in cells if "nbgrader" in cell.metadata]
    return list(zip(marked[0::2], marked[1::2], strict=True))


CASES = {
    solution.metadata["exercise"]: (source, i)
    for source in variants.sources()
    for i, (solution, _) in enumerate(pairs(source, "teacher"))
}
every_variant = pytest.mark.parametrize("exercise", CASES)


def run(*codes: str) -> None:
    names = {}
    for code in codes:
        exec(code, names)


@every_variant
def test_the_answer_passes_the_hidden_tests(exercise):
    source, i = CASES[exercise]
    solution, test = pairs(source, "teacher")[i]
    run(solution.source, test.source)


@every_variant
def test_the_courses_own_answer_does_not(exercise):
    source, i = CASES[exercise]
    solution, test = pairs(source, "teacher")[i]
    own = getattr(answers, exercise.replace("ex_", "EX_", 1).upper())
    name = re.search(r"^(?:def )?(\w+)", re.sub(r"(?m)^#.*\n", "", solution.source))[1]
    with pytest.raises((AssertionError, AttributeError, IndexError, KeyError, *WRONG_CALLS)):
        exec(test.source, {name: own})


@every_variant
def test_a_learner_finds_a_stub_and_a_first_check_but_no_answer_and_no_hidden_test(exercise):
    source, i = CASES[exercise]
    stub, test = pairs(source, "student")[i]
    answer, full = pairs(source, "teacher")[i]
    assert "NotImplementedError" in stub.source and "SOLUTION" not in stub.source
    assert "HIDDEN" not in test.source
    hidden = full.source.split("### BEGIN HIDDEN TESTS")[1]
    assert not {line for line in hidden.splitlines() if "assert" in line} & {
        *test.source.splitlines()
    }
    with pytest.raises(NotImplementedError):
        run(stub.source, test.source)


@every_variant
def test_points_are_the_stars_and_those_of_the_first_variant(exercise):
    source, i = CASES[exercise]
    _, test = pairs(source, "teacher")[i]
    prose = [cell.source for cell in edition("teacher", source).cells if "★" in cell.source]
    stars = prose[i].count("★")
    assert test.metadata.nbgrader.points == stars == graded()[exercise].points


@every_file
def test_nbgrader_knows_the_marks_of_both_editions(source):
    for kind in ("teacher", "student"):
        MetadataValidator().validate_nb(edition(kind, source))


def test_every_graded_exercise_has_a_variant_or_a_reason():
    assert graded().keys() == CASES.keys() | WITHOUT.keys() and not CASES.keys() & WITHOUT.keys()


def test_the_answers_are_in_no_wheel_and_in_no_archive():
    assert variants.SOURCES.parent == ROOT, "outside of the package"
    listed = ["git", "check-attr", "export-ignore", "variants"]
    answer = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.strip().endswith(": set")


def test_both_editions_are_written_and_work_is_never_lost(tmp_path):
    count = variants.write(tmp_path)
    assert count == 2 * len(variants.sources()) == len([*tmp_path.rglob("*.ipynb")])
    path = tmp_path / "student" / "05.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source += "\nmine"
    nbformat.write(notebook, path)
    with pytest.raises(editions.EditionError, match="make variants TO=folder"):
        variants.write(tmp_path)
