"""The editions for a class: what the student's lacks, what the teacher's holds, and nbgrader."""

import ast
import copy
import functools
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from helpers import speed
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.nbgraderformat import MetadataValidator
from traitlets.config import Config

from qwenimage_ref.course import answers, check
from qwenimage_ref.course.publish import build, editions, solutions

SOURCES = build.sources()
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem[:2])
GRADED = ("02", "05")  # those that nbgrader itself runs
STUDENT, TEACHER = editions.EDITIONS / "student", editions.EDITIONS / "teacher"


@functools.cache
def student(source: Path):
    return editions.edition("student", source, STUDENT)[0]


@functools.cache
def teacher(source: Path):
    return editions.edition("teacher", source, TEACHER)[0]


def marked(notebook, mark: str) -> list:
    cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return [cell for cell in cells if cell.metadata.nbgrader[mark]]


def prose(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def code(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


# ---- every notebook


@every_notebook
def test_a_student_finds_the_stubs_as_the_course_has_them_and_a_check_of_his_own_answer(source):
    notebook = student(source)
    stubs = [
        cell.source
        for cell in build.from_source(source).cells
        if "exercise" in cell.metadata.get("tags", ())
    ]
    assert [cell.source for cell in marked(notebook, "solution")] == stubs
    for cell in marked(notebook, "grade"):
        assert "check.ex_" in cell.source
        assert "source_hidden" not in cell.metadata.get("jupyter", {})


@every_notebook
def test_a_student_finds_hints_but_no_solution_and_no_stored_answer(source):
    notebook = student(source)
    folds = re.findall(r"<details><summary>(.+?)</summary>", prose(notebook))
    assert not [fold for fold in folds if "olution" in fold]
    assert marked(notebook, "solution") == [] or [fold for fold in folds if "hint" in fold]
    assert "SOLUTION" not in code(notebook)
    stored = r"\bcourse import.*\banswers\b|\bcourse\.answers\b|\bEX_\d\d|unless_solved"
    assert not re.search(stored, code(notebook))
    assert not re.search(r"\bEX_\d\d|unless_solved", prose(notebook))


@every_notebook
def test_an_edition_keeps_every_other_cell_and_no_output(source):
    ours = build.from_source(source)
    for notebook in (student(source), teacher(source)):
        kept = {cell.id: cell for cell in notebook.cells}
        for cell in ours.cells:
            if cell.cell_type == "code":
                assert kept[cell.id].outputs == [] and kept[cell.id].execution_count is None
                if "nbgrader" not in kept[cell.id].metadata:
                    assert kept[cell.id].source == cell.source


@every_notebook
def test_nbgrader_knows_the_marks_of_both_editions(source):
    for notebook in (student(source), teacher(source)):
        MetadataValidator().validate_nb(notebook)
        solutions, checks = marked(notebook, "solution"), marked(notebook, "grade")
        assert len(solutions) == len(checks)
        for cell in checks:
            assert cell.metadata.nbgrader.points in range(1, 6)
    graded = [marked(notebook, "grade") for notebook in (student(source), teacher(source))]
    assert graded[0] == graded[1], "the same checks under the same names"


@every_notebook
def test_every_link_of_an_edition_leads_somewhere(source):
    for notebook, folder in ((student(source), STUDENT), (teacher(source), TEACHER)):
        for target in re.findall(r"\]\(([^)#]+)", prose(notebook)):
            if not target.startswith(("http:", "https:")):
                # careful: the edition's own folder need not exist, so `..` is resolved by name
                beside = ROOTS.get(target, Path(os.path.normpath(folder / target)))
                assert beside.exists(), target


ROOTS = {path.with_suffix(".ipynb").name: path for path in SOURCES}  # editions are not built here
ROOTS |= {f"figures/{path.name}": path for path in (build.NOTEBOOKS / "figures").glob("*.svg")}


@every_notebook
def test_the_teachers_solution_is_the_stub_solved_and_passes_the_check(source, capsys):
    notebook = teacher(source)
    for stub, solved, checked in zip(
        marked(student(source), "solution"),
        marked(notebook, "solution"),
        marked(notebook, "grade"),
    ):
        assert solved.source.count("### BEGIN SOLUTION") >= 1
        assert solved.source.count("### BEGIN SOLUTION") == solved.source.count("### END SOLUTION")
        names = {}
        exec(solved.source, names)
        exec(checked.source, names)
        assert capsys.readouterr().out.startswith("right")
        with pytest.raises(check.NotYet):
            names = {}
            exec(stub.source, names)
            exec(checked.source, names)


# ---- how a solution is put into a stub


@pytest.fixture
def stored(monkeypatch):
    """Puts another name's answer in the place of a stored one."""

    def put(stub: str, mine: str, name: str) -> str:
        check_cell = f"{mine} = answers.unless_solved({mine}, answers.{name})\ncheck.ex(mine)"
        return solutions.solved(stub, check_cell)

    return put


def test_a_value_is_solved_as_its_file_writes_it(stored):
    solved = stored("# why?\nmine = ...  # a prompt", "mine", "EX_00_WORD")
    assert solved.splitlines() == [
        "# why?",
        "### BEGIN SOLUTION",
        f'mine = "{answers.EX_00_WORD}"',
        "### END SOLUTION",
    ]


def test_a_function_keeps_the_stubs_signature_and_brings_its_imports(stored):
    stub = 'def fooled(better, worse, n):\n    """Mine."""\n    raise NotImplementedError\n'
    solved = stored(stub, "fooled", "EX_13_FOOLED")
    lines = solved.splitlines()
    assert lines[:3] == [
        "def fooled(better, worse, n):",
        '    """Mine."""',
        "    ### BEGIN SOLUTION",
    ]
    assert "    import math" in lines and lines[-1] == "    ### END SOLUTION"
    function = ast.parse(solved).body[0]
    assert ast.get_docstring(function) == "Mine."


def test_a_function_with_other_arguments_is_replaced_as_a_whole(stored):
    solved = stored("def fooled(a, b, c):\n    raise NotImplementedError", "fooled", "EX_13_FOOLED")
    assert solved.startswith("### BEGIN SOLUTION\nimport math\n")
    assert "def fooled(better: float" in solved and "(a, b, c)" not in solved


def test_a_check_cell_is_left_with_its_checks():
    cell = (
        "from qwenimage_ref.course import answers, check\n\n"
        "mine = answers.unless_solved(\n    mine, answers.EX_00_WORD\n)\ncheck.ex_00_word(mine)"
    )
    plain = "from qwenimage_ref.course import check\n\ncheck.ex_00_word(mine)"
    assert solutions.plain_check(cell) == plain


def test_a_check_cell_that_needs_the_answers_is_refused():
    with pytest.raises(editions.EditionError, match="cannot do without the stored answers"):
        solutions.plain_check("check.ex_00_word(answers.EX_00_WORD)")


# ---- files


def test_an_edition_is_written_and_a_learners_work_is_never_lost(tmp_path, capsys):
    sources = SOURCES[:1]
    editions.write("teacher", tmp_path, sources)
    editions.write("teacher", tmp_path, sources)  # nothing has changed
    path = tmp_path / sources[0].with_suffix(".ipynb").name
    assert (tmp_path / "README.md").read_text().count("★☆☆☆☆ | 3 | 1 |") == 1
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += "\nmy own words"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(editions.EditionError, match="has changed; move .* away"):
        editions.write("teacher", tmp_path, sources)
    assert path.read_bytes() == before


# ---- nbgrader itself


def points(course: Path, who: str) -> list[tuple[float, float]]:
    """What nbgrader's gradebook says of each notebook: points given, points possible."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
        notebooks = book.find_submission("course", who).notebooks
        return [(notebook.score, notebook.max_score) for notebook in notebooks]


def submitted(make, source: Path):
    """02 whole; of the others, which take minutes, what is graded: no answer needs the rest."""
    notebook = copy.deepcopy(make(source))
    if source.stem[:2] != "02":
        notebook.cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    return notebook


def test_nbgrader_gives_the_teachers_edition_all_points_and_the_blanks_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(editions.ROOT))
    # nbgrader calls a program that lies beside python, where a venv is not active
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    folders = {
        "source/course": teacher,
        "submitted/teacher/course": teacher,
        "submitted/blank/course": student,
    }
    for name, make in folders.items():
        (tmp_path / name).mkdir(parents=True)
        for source in SOURCES:
            if source.stem[:2] in GRADED:
                path = tmp_path / name / f"{source.stem[:2]}.ipynb"
                nbformat.write(submitted(make, source), path)
    config = Config()
    config.CourseDirectory.root = str(tmp_path)
    config.CourseDirectory.db_url = f"sqlite:///{tmp_path}/gradebook.db"
    config.Execute.timeout = int(speed.wall_seconds(120))
    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    assert api.generate_assignment("course")["success"]
    for who in ("teacher", "blank"):
        assert api.autograde("course", who)["success"]
    given, possible = zip(*points(tmp_path, "teacher"))
    assert given == possible and len(given) == len(GRADED) and min(given) > 0
    assert points(tmp_path, "blank") == [(0, most) for most in possible]
