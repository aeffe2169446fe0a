"""Second variants of the graded exercises: `make variants`, for what is graded under supervision.

python -m qwenimage_ref.course.publish.variants [FOLDER]

Their sources, with answers and hidden tests, are in variants/, which neither a wheel nor an archive
of the repository carries. FOLDER/teacher goes into nbgrader's source, FOLDER/student to learners.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from ...repository import in_a_clone
from ..show import ROOT
from . import build, editions

SOURCES = ROOT / "variants"


def sources() -> list[Path]:
    return sorted(SOURCES.glob("*.py"))


def edition(kind: str, source: Path) -> nbformat.NotebookNode:
    """One notebook of the "teacher" or "student" edition, marked for nbgrader.

    A cell tagged "solution" names the exercise whose variant it is; a cell tagged "test" follows.
    Raises EditionError.
    """
    notebook, exercise = build.from_source(source), ""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "solution" in tags:
            exercise = cell.metadata["exercise"]
            editions.mark(cell, f"{exercise}_second", solution=True)
        elif "test" in tags:
            points = cell.metadata["points"]
            if not exercise or "### BEGIN HIDDEN TESTS" not in cell.source:
                raise editions.EditionError(
                    f"{source.name}: a test without solution or hidden part"
                )
            name = f"check_{exercise}_second"
            editions.mark(cell, name, grade=True, locked=True, points=points)
            exercise = ""
    if kind == "student":
        for step in (ClearSolutions(), ClearHiddenTests()):
            notebook, _ = step.preprocess(notebook, {})
    nbformat.validate(notebook)
    return notebook


def write(folder: Path) -> int:
    """Both editions of every variant into `folder` -> how many notebooks. Raises EditionError."""
    files = {
        f"{kind}/{source.stem}.ipynb": nbformat.writes(edition(kind, source)) + "\n"
        for kind in ("teacher", "student")
        for source in sources()
    }
    editions.put(folder, files, "make variants")
    return len(files)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.publish.variants")
    parser.add_argument("folder", nargs="?", type=Path, default=editions.EDITIONS / "variants")
    folder = parser.parse_args(arguments).folder.absolute()
    try:
        count = write(folder)
    except editions.EditionError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{folder}: {count} notebooks, half of them with the answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
