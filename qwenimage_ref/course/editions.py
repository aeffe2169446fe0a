"""Two editions for a class, from the same notebooks/src: `make student` and `make teacher`.

python -m qwenimage_ref.course.editions student|teacher [FOLDER]

Student: no outputs, no solutions; hints stay. Teacher: each exercise solved, with the answers that
the course itself runs on. Both hold nbgrader's marks, so its `generate_assignment` takes the
teacher's edition and its `autograde` what became of the student's.
"""

import argparse
import ast
import functools
import inspect
import os
import pprint
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import nbformat

from . import answers, build
from .show import ROOT

STAND_IN = "answers.unless_solved"
STORED = re.compile(r"\banswers\.(EX_|unless_solved)|\bimport\b.*\banswers\b")
CHECK = "from qwenimage_ref.course import check"
DIFFICULTY = re.compile(r"(★+)☆* · (\d+) minutes")
FOLD = re.compile(r"<details><summary>([^<]+)</summary>.*?</details>\n*", re.S)
LINK = re.compile(r"(?<=\]\()\.\./[^)\s]+")
EDITIONS = ROOT / "editions"


class EditionError(ValueError):
    """A notebook of which no edition can be made; says which cell and why."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook, as the overview lists it."""

    notebook: str
    name: str  # of its checker: ex_00_word
    heading: str
    stars: int
    minutes: int

    @property
    def points(self) -> int:
        return self.stars


def edition(kind: str, source: Path, folder: Path):
    """One notebook of the "student" or "teacher" edition -> notebook, list of its Exercises

    Links in it lead from `folder`. Raises EditionError.
    """
    notebook = build.from_source(source)
    exercises, heading, difficulty = [], "", None
    for cell, following in zip(notebook.cells, [*notebook.cells[1:], None]):
        if cell.cell_type == "markdown":
            heading = _last(r"(?m)^## Exercise: (.+)$", cell.source) or heading
            difficulty = _last(DIFFICULTY, cell.source) or difficulty
            cell.source = _text(kind, cell.source, source.parent.parent, folder)
        elif "exercise" in cell.metadata.get("tags", ()):
            stars, minutes = difficulty or ("", "0")
            name = _checker(following)
            exercise = Exercise(source.stem, name, heading, len(stars), int(minutes))
            if not exercise.points:
                raise EditionError(f"{source.name}, {name}: no line of stars and minutes above it")
            exercises.append(exercise)
            if kind == "teacher":
                cell.source = _solved(cell.source, following.source)
            following.source = _plain(following.source)
            following.metadata = {"deletable": False, "editable": False}
            _mark(cell, name, solution=True)
            _mark(following, f"check_{name}", grade=True, locked=True, points=exercise.points)
        elif STORED.search(cell.source):
            raise EditionError(f"{source.name}: a cell uses the stored answers:\n{cell.source}")
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    nbformat.validate(notebook)
    return notebook, exercises


def _last(pattern, text: str):
    found = re.findall(pattern, text)
    return found[-1] if found else None


def _checker(cell) -> str:
    found = re.search(r"check\.(ex_\d\d_\w+)\(", cell.source if cell else "")
    if not found or STAND_IN not in cell.source:
        raise EditionError("an exercise is not followed by the cell that checks it")
    return found[1]


def _text(kind: str, text: str, home: Path, folder: Path) -> str:
    """Links lead from the edition's folder; a student's text has no folds with solutions."""
    text = LINK.sub(lambda link: Path(os.path.relpath(home / link[0], folder)).as_posix(), text)
    if kind == "teacher":
        return text
    return FOLD.sub(lambda fold: "" if "solution" in fold[1].lower() else fold[0], text).rstrip()


def _mark(cell, grade_id: str, **more) -> None:
    marks = {"grade": False, "locked": False, "solution": False, "task": False}
    cell.metadata["nbgrader"] = {**marks, "schema_version": 3, "grade_id": grade_id, **more}


# ---- code


def _stand_ins(code: str) -> dict[ast.stmt, tuple[str, str]]:
    """Statements `mine = answers.unless_solved(mine, answers.EX_NAME)` -> "mine", "EX_NAME"."""
    found = {}
    for statement in ast.parse(code).body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == STAND_IN:
            found[statement] = (call.args[0].id, call.args[1].attr)
    return found


def _plain(code: str) -> str:
    """A check cell that checks the reader's own answer, whatever it is."""
    gone = {statement.lineno: statement.end_lineno for statement in _stand_ins(code)}
    lines, kept, last = code.splitlines(), [], 0
    for number, line in enumerate(lines, 1):
        last = max(last, gone.get(number, 0))
        if number > last:
            kept.append(re.sub(r"(import )answers, |, answers\b", r"\1", line))
    plain = "\n".join(kept).strip()
    if STORED.search(plain):
        raise EditionError(f"this check cell cannot do without the stored answers:\n{code}")
    if CHECK not in plain:
        plain = f"{CHECK}\n\n{plain}"
    return re.sub(r"\n\n\n+", "\n\n", plain)


def _solved(stub: str, check: str) -> str:
    """The stub's cell with the stored answers in it, between nbgrader's marks."""
    code = stub
    for name, stored in _stand_ins(check).values():
        statement = next((one for one in ast.parse(code).body if _defines(one, name)), None)
        if statement is None:
            raise EditionError(f"the exercise's cell does not define {name}:\n{stub}")
        lines = code.splitlines()
        first, last = statement.lineno - 1, statement.end_lineno
        old = "\n".join(lines[first:last])
        lines[first:last] = _solution(old, statement, name, stored).splitlines()
        code = "\n".join(lines)
    return code


def _defines(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.Assign):
        return any(getattr(target, "id", None) == name for target in statement.targets)
    return getattr(statement, "name", None) == name


def _solution(stub: str, statement: ast.stmt, name: str, stored: str) -> str:
    answer = getattr(answers, stored)
    if not callable(answer):
        return _between(f"{name} = {_literal(stored)}")
    node, used = _definition(stored)
    own = textwrap.dedent(inspect.getsource(answer)).rstrip()
    own = re.sub(rf"\b{stored}\b", name, own)
    raised = [one for one in ast.walk(statement) if isinstance(one, ast.Raise)]
    same = isinstance(statement, ast.FunctionDef) and isinstance(node, ast.FunctionDef)
    if not same or ast.unparse(_names(statement)) != ast.unparse(_names(node)) or len(raised) != 1:
        return _between("\n".join([*used, *(["", ""] if used else []), own]))
    # only the body is the solution: the stub's signature, docstring and comments stay
    about = ast.get_docstring(node)
    start = node.body[1 if about else 0].lineno - node.lineno
    above = [f"# {line}" for line in (about or "").splitlines()] + [*used, *([""] if used else [])]
    body = textwrap.dedent("\n".join(own.splitlines()[start:]))
    inside = textwrap.indent(_between("\n".join([*above, body])), "    ")
    before = stub.splitlines()[: raised[0].lineno - statement.lineno]
    after = stub.splitlines()[raised[0].end_lineno - statement.lineno + 1 :]
    return "\n".join([*before, inside, *after])


def _between(code: str) -> str:
    return f"### BEGIN SOLUTION\n{code}\n### END SOLUTION"


def _names(function: ast.FunctionDef) -> ast.arguments:
    """The arguments without their annotations."""
    arguments = ast.parse(ast.unparse(function)).body[0].args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    return arguments


@functools.cache
def _bindings() -> dict[str, tuple[ast.stmt, str]]:
    """Names at the top of the answers' files -> the statement that binds them, and its text."""
    found = {}
    for chapter in answers.CHAPTERS:
        text = inspect.getsource(chapter)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                above = chapter.__package__.split(".")[: 1 - node.level or None]
                node.module, node.level = ".".join([*above, *filter(None, [node.module])]), 0
            names = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [(alias.asname or alias.name).split(".")[0] for alias in node.names]
                segment = ast.unparse(node)
            else:
                names = [getattr(node, "name", None)]
                names += [getattr(target, "id", None) for target in getattr(node, "targets", ())]
                segment = ast.get_source_segment(text, node)
            found |= {(chapter, name): (node, segment) for name in names if name}
    return found


def _definition(stored: str) -> tuple[ast.stmt, list[str]]:
    """An answer's statement, and the texts of all it needs from the top of its file, in order."""
    bindings = _bindings()
    chapter, _ = key = next(key for key in bindings if key[1] == stored)
    needed, waiting = {}, [bindings[key][0]]
    while waiting:
        for node in ast.walk(waiting.pop()):
            other = (chapter, getattr(node, "id", None))
            if other in bindings and other != key and bindings[other][1] not in needed:
                needed[bindings[other][1]] = bindings[other][0].lineno
                waiting.append(bindings[other][0])
    return bindings[key][0], sorted(needed, key=needed.get)


def _literal(stored: str) -> str:
    """A value as its file writes it, or in full where that would need other names."""
    node, used = _definition(stored)
    if not used:
        chapter = next(chapter for chapter, name in _bindings() if name == stored)
        return ast.get_source_segment(inspect.getsource(chapter), node.value)
    value = getattr(answers, stored)
    text = pprint.pformat(value, width=88, sort_dicts=False)
    try:
        ast.literal_eval(text)
    except ValueError:
        raise EditionError(f"{stored} cannot be written down: {text[:60]}") from None
    return text


# ---- files

HOW_TO = """# The teacher's edition

Every exercise is solved between `### BEGIN SOLUTION` and `### END SOLUTION`; a point for each star.

| notebook | exercise | difficulty | minutes | points |
|---|---|---|---|---|
{rows}
| **{count} exercises** | | | **{minutes}** | **{points}** |

Graded with nbgrader: copy a notebook to `source/NAME/` of your nbgrader course and run
`nbgrader generate_assignment NAME`. Hand out the same notebook of the student edition
(`make student`): it has the same cells under the same names, with the course's own stubs. What
comes back lies in `submitted/STUDENT/NAME/`, and `nbgrader autograde NAME` gives the points. Some
cells paint pictures for longer than nbgrader waits: set `c.Execute.timeout = 120` in
`nbgrader_config.py`.
"""


def overview(exercises: list[Exercise]) -> str:
    """Minutes and points of every exercise as a table, and how they are graded."""
    rows = [
        f"| [{one.notebook[:2]}]({one.notebook}.ipynb) | {one.heading} "
        f"| {'★' * one.stars}{'☆' * (5 - one.stars)} | {one.minutes} | {one.points} |"
        for one in exercises
    ]
    return HOW_TO.format(
        rows="\n".join(rows),
        count=len(exercises),
        minutes=sum(one.minutes for one in exercises),
        points=sum(one.points for one in exercises),
    )


def write(kind: str, folder: Path, sources: list[Path] | None = None) -> list[Exercise]:
    """All notebooks of an edition into `folder`. Raises EditionError before it would lose work."""
    exercises, files = [], {}
    for source in sources or build.sources():
        notebook, found = edition(kind, source, folder)
        files[source.with_suffix(".ipynb").name] = nbformat.writes(notebook) + "\n"
        exercises += found
    if kind == "teacher":
        files["README.md"] = overview(exercises)
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise EditionError(
                f"{path} is there already and has changed; move {folder} away, or name another "
                f"folder: make {kind} TO=folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return exercises


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.editions")
    parser.add_argument("kind", choices=("student", "teacher"))
    parser.add_argument("folder", nargs="?", type=Path, help="default: editions/KIND")
    options = parser.parse_args(arguments)
    folder = (options.folder or EDITIONS / options.kind).absolute()
    try:
        exercises = write(options.kind, folder)
    except EditionError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{folder}: {len(exercises)} exercises, {sum(one.minutes for one in exercises)} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
