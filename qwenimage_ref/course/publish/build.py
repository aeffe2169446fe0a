"""Build the course: every notebooks/src/*.py runs from the top and becomes notebooks/*.ipynb.

python -m qwenimage_ref.course.publish.build [NAME ...]   all, or those named
python -m qwenimage_ref.course.publish.build --zh         the Chinese twins alone, nothing runs

What differs from run to run without meaning anything is taken out, so that a rebuild shows only
what changed. A cell that fails, or writes to stderr, stops the build; the old file stays.
"""

import argparse
import copy
import functools
import hashlib
import os
import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from tqdm import tqdm

from ... import __version__
from ...files import whole_file
from ...repository import in_a_clone
from ..show import ROOT

NOTEBOOKS = ROOT / "notebooks"
CHINESE = "zh"  # folder of the twins in notebooks, and of their prose in notebooks/src
CELL_SECONDS = 1200  # seconds that end a hang; the longest cell takes half a minute on two cores
WIDGET = "application/vnd.jupyter.widget-view+json"
# what never changes of the kernel: no version of Python
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


class BuildError(RuntimeError):
    """A notebook that did not run through; says where."""


def sources(folder: Path = NOTEBOOKS) -> list[Path]:
    return sorted((folder / "src").glob("*.py"))


def from_source(path: Path) -> nbformat.NotebookNode:
    """notebooks/src/NN_title.py -> the notebook without outputs, ids from what the cells say."""
    notebook = copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": LANGUAGE, "qwenimage_ref": {"version": __version__}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5  # the first that has ids of cells
    seen = set()
    for cell in notebook.cells:
        cell.id = _id(cell, seen)
        seen.add(cell.id)
    return notebook


@functools.cache
def _parsed(text: str) -> nbformat.NotebookNode:
    return jupytext.reads(text, fmt="py:percent")


def _id(cell, seen: set[str]) -> str:
    """Twelve digits of the cell's hash: an edit changes one id and not those that follow."""
    digest, text = "", cell.cell_type + cell.source
    while not digest or digest in seen:  # a cell that says what another says
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        text += "."
    return digest


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute every cell in a fresh kernel, in `folder`; the outputs are put into the notebook."""
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    # two threads, as on the smallest machine that the time budget is for
    client.execute(env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")})


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Renumber, and drop what is different in every run: ids of widgets, versions, times."""
    notebook.metadata["language_info"] = LANGUAGE
    notebook.metadata.pop("widgets", None)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells, 1):
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
            if output.output_type == "stream" and output.name == "stderr":
                raise BuildError(f"cell {number} writes to stderr: {output.text.strip()}")
            output.get("data", {}).pop(WIDGET, None)  # the text stays: all that GitHub can show


def chinese_prose(path: Path) -> Path:
    """notebooks/src/NAME.py -> the file of its Chinese prose, which need not exist."""
    return path.parent / CHINESE / f"{path.stem}.md"


def chinese(path: Path, stored: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The Chinese twin of a stored notebook: its code and outputs, the prose of chinese_prose.

    The prose has the notebook's text cells in their order, `+++` between them. Raises BuildError
    unless there are as many.
    """
    twin = nbformat.from_dict(stored)
    texts = [cell for cell in twin.cells if cell.cell_type == "markdown"]
    prose = chinese_prose(path).read_text(encoding="utf-8").split("\n+++\n")
    if len(prose) != len(texts):
        raise BuildError(
            f"{chinese_prose(path)} must have {len(texts)} cells as the notebook has, got "
            f"{len(prose)}; translate what was added"
        )
    for cell, text in zip(texts, prose):
        cell.source = text.strip()
    return twin


def write_chinese(path: Path) -> Path:
    """notebooks/zh/NAME.ipynb from the stored notebooks/NAME.ipynb; nothing runs."""
    name = path.with_suffix(".ipynb").name
    stored = nbformat.read(path.parent.parent / name, as_version=4)
    target = path.parent.parent / CHINESE / name
    target.parent.mkdir(exist_ok=True)
    with whole_file(target) as partial:
        nbformat.write(chinese(path, stored), partial)
    return target


def build(path: Path) -> tuple[Path, float]:
    """Build one notebook from its source -> the file, and the seconds its cells took."""
    folder = path.parent.parent
    notebook = from_source(path)
    start = time.perf_counter()
    try:
        run(notebook, folder)
        tidy(notebook)
    except CellTimeoutError as error:
        raise BuildError(f"{path.name}: {str(error).splitlines()[0]}") from None
    except (CellExecutionError, BuildError) as error:
        plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))  # tracebacks come in colours
        raise BuildError(f"{path.name}: {plain}") from None
    seconds = time.perf_counter() - start
    target = folder / path.with_suffix(".ipynb").name
    nbformat.validate(notebook)
    try:
        with whole_file(target) as partial:
            nbformat.write(notebook, partial)
        if chinese_prose(path).exists():
            write_chinese(path)
    except OSError as error:
        raise BuildError(
            f"{target} could not be written ({error.strerror}); make room. The old one stays"
        ) from None
    return target, seconds


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.publish.build")
    parser.add_argument("name", nargs="*", help="start of a file name, 00 for one; none: all")
    parser.add_argument("--zh", action="store_true", help="only the Chinese twins; nothing runs")
    options = parser.parse_args(arguments)
    names = tuple(options.name)
    chosen = [path for path in sources() if not names or path.name.startswith(names)]
    if not chosen:
        print(f"no notebook in {NOTEBOOKS / 'src'} has such a name", file=sys.stderr)
        return 2
    if options.zh:
        for path in filter(lambda source: chinese_prose(source).exists(), chosen):
            print(write_chinese(path).relative_to(ROOT))
        return 0
    for path in tqdm(chosen, unit="notebook", disable=None):
        try:
            target, seconds = build(path)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        size = target.stat().st_size
        print(f"{target.relative_to(ROOT)}: {seconds:.0f} s, {size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
