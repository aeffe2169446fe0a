"""Two editions for a class, from the same notebooks/src: `make student` and `make teacher`.

python -m qwenimage_ref.course.publish.editions student|teacher [FOLDER]

Student: no outputs, no solutions; hints stay. Teacher: each exercise solved, with the answers that
the course itself runs on. Both hold nbgrader's marks, so its `generate_assignment` takes the
teacher's edition and its `autograde` what became of the student's.
"""

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ...repository import in_a_clone
from ..show import ROOT
from . import build
from .solutions import STAND_IN, STORED, EditionError, plain_check, solved
from .whole import write_files

DIFFICULTY = re.compile(r"(★+)☆* · (\d+) minutes")
FOLD = re.compile(r"<details><summary>([^<]+)</summary>.*?</details>\n*", re.S)
LINK = re.compile(r"(?<=\]\()\.\./[^)\s]+")
EDITIONS = ROOT / "editions"


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook, as the overview lists it."""

    notebook: str
    name: str  # the checker's name: ex_00_word
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
                cell.source = solved(cell.source, following.source)
            following.source = plain_check(following.source)
            following.metadata = {"deletable": False, "editable": False}
            mark(cell, name, solution=True)
            mark(following, f"check_{name}", grade=True, locked=True, points=exercise.points)
        elif STORED.search(cell.source):
            raise EditionError(f"{source.name}: a cell uses the stored answers:\n{cell.source}")
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    nbformat.validate(notebook)
    return notebook, exercises


def _last(pattern, text: str):
    matches = re.findall(pattern, text)
    return matches[-1] if matches else None


def _checker(cell) -> str:
    call = re.search(r"check\.(ex_\d\d_\w+)\(", cell.source if cell else "")
    if not call or STAND_IN not in cell.source:
        raise EditionError("an exercise is not followed by the cell that checks it")
    return call[1]


def _text(kind: str, text: str, home: Path, folder: Path) -> str:
    """Links lead from the edition's folder; a student's text has no folds with solutions."""
    text = LINK.sub(lambda link: Path(os.path.relpath(home / link[0], folder)).as_posix(), text)
    if kind == "teacher":
        return text
    return FOLD.sub(lambda fold: "" if "solution" in fold[1].lower() else fold[0], text).rstrip()


def mark(cell, grade_id: str, **more) -> None:
    """nbgrader's metadata of a cell: a solution, or a grade with its points."""
    marks = {"grade": False, "locked": False, "solution": False, "task": False}
    cell.metadata["nbgrader"] = {**marks, "schema_version": 3, "grade_id": grade_id, **more}


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
cells paint pictures for longer than nbgrader waits: set `c.Execute.timeout = 600` in
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
        notebook, its_exercises = edition(kind, source, folder)
        files[source.with_suffix(".ipynb").name] = nbformat.writes(notebook) + "\n"
        exercises += its_exercises
    for drawing in sorted((build.NOTEBOOKS / "figures").glob("*.svg")):
        files[f"figures/{drawing.name}"] = drawing.read_text(encoding="utf-8")
    if kind == "teacher":
        files["README.md"] = overview(exercises)
    put(folder, files, f"make {kind}")
    return exercises


def put(folder: Path, files: dict[str, str], command: str) -> None:
    """{path in the folder: text} written. Raises EditionError before it would lose work."""
    for name, text in files.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise EditionError(
                f"{path} is there already and has changed; move {folder} away, or name another "
                f"folder: {command} TO=folder"
            )
    try:
        write_files(folder, files)
    except OSError as error:
        raise EditionError(
            f"{folder} could not be written ({error.strerror}), and nothing was; make room, or "
            f"name another folder: {command} TO=folder"
        ) from None


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.publish.editions")
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
