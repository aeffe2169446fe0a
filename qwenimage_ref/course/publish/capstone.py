"""The capstone: Qwen-Image written again from memory, part by part: `make blank`, `make grade`.

python -m qwenimage_ref.course.publish.capstone blank [FOLDER]
python -m qwenimage_ref.course.publish.capstone grade [FOLDER] [--part mmdit]

In the copy the functions of the model path say what they take and give, and are empty; parameters
are there, so official weights fit from the start. What is graded are these files alone; whatever
stands around them, the comparisons first of all, is the package's own and not the copy's.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import sys
import traceback
from pathlib import Path

from ...repository import ROOT, in_a_clone

PACKAGE = "qwenimage_ref"
HOME = ROOT / "qwenimage_ref"
BLANK = HOME.parent / "blank"

# The files of the model path, in the order of the course, and what stays in them: constructors,
# which name the parameters, and what is about files, speed and good manners.
FILES = {
    "bpe": {"_in_order", "_letters", "learn"},
    "tokenizer": {
        *("Tokenizer.__len__", "Tokenizer.pad_id", "Tokenizer.largest_id", "Tokenizer.train"),
        *("Tokenizer.load", "Tokenizer.save", "_either", "_words", "_count_words"),
    },
    "text_encoder": set(),
    "vae": {
        *("channels_last", "Tap.stored", "Tap.from_stored", "Tap.to_stored"),
        *("UnusedTimeConv.stored", "Norm.stored", "Norm.from_stored", "Norm.to_stored"),
    },
    "rope": set(),
    "mmdit": set(),
    "sampler": {"_check_steps"},
    "pipeline": {
        *("QwenImage.from_pretrained", "QwenImage.device", "QwenImage.dtype"),
        *("QwenImage.__call__", "QwenImage._check_size", "QwenImage._bytes_needed"),
    },
}
CHAPTERS = dict(zip(FILES, ("02", "02", "03", "04", "05", "06", "08", "09")))
EMPTY = "raise NotImplementedError"


class CapstoneError(ValueError):
    """A folder that cannot be written or graded; one line with the remedy."""


# ---- blank


def functions(text: str) -> dict[str, ast.FunctionDef]:
    """Name, as `Class.method` in a class -> definition, of all functions of a file."""
    found = {}
    for node in ast.parse(text).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + one.name: one for one in inside if isinstance(one, ast.FunctionDef)}
    return found


def to_write(module: str, text: str) -> dict[str, ast.FunctionDef]:
    """The functions of a file that are left to the reader."""
    return {
        name: node
        for name, node in functions(text).items()
        if name not in FILES[module] and not name.endswith(".__init__")
    }


def blanked(module: str, text: str) -> str:
    """The file with signatures and docstrings, and nothing in the bodies left to the reader."""
    lines = text.splitlines()
    for node in reversed(to_write(module, text).values()):
        documented = ast.get_docstring(node) is not None
        if documented:
            start = node.body[0].end_lineno
        else:
            start = node.body[0].lineno - 1
            while lines[start - 1].strip().startswith("#"):  # a comment says how, too
                start -= 1
        indent = " " * node.body[0].col_offset
        lines[start : node.end_lineno] = [indent + EMPTY]
    return "\n".join(lines) + "\n"


README = """# Qwen-Image, to be written again

`{package}/` is a copy of the package in which {count} functions of the model path are empty. Each
still says what it takes and gives, in shapes; the constructors are there, so every parameter has
its official name. Begin anywhere: a part that needs another says so when it is graded.

| file | chapter | lines | to write |
|---|---|---|---|
{rows}

`make grade` in the course's folder compares every part with diffusers and transformers, on random
and on pocket weights (`make grade OF=folder` where this folder is not `{blank}/`). It says what is
not yet written, or by official tensor name where your numbers first part from the reference's.

Only the {files} files of the table are yours, and files that you add beside them. All the rest is
taken from the course's package, whatever you do to it here.
"""


def write_blank(folder: Path) -> int:
    """A copy of the package without the bodies -> how many functions wait there to be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CapstoneError(
            f"{folder} is there already, and may hold your work; name another: make blank TO=folder"
        )
    rows, count = [], 0
    for source in sorted(HOME.rglob("*.py")):
        place = source.relative_to(HOME)
        if place.parts[0] == "course":  # its answers and checkers stay where the course is
            continue
        text = source.read_text(encoding="utf-8")
        if place.stem in FILES and len(place.parts) == 1:
            text = blanked(place.stem, text)
        target = folder / PACKAGE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    for module in FILES:
        text = (HOME / f"{module}.py").read_text(encoding="utf-8")
        names = to_write(module, text)
        gone = len(text.splitlines()) - len(blanked(module, text).splitlines()) + len(names)
        listed = ", ".join(f"`{name}`" for name in names)
        rows.append(f"| `{module}.py` | {CHAPTERS[module]} | {gone} | {listed} |")
        count += len(names)
    words = {"package": PACKAGE, "count": count, "files": len(FILES), "blank": BLANK.name}
    (folder / "README.md").write_text(
        README.format(rows="\n".join(rows), **words), encoding="utf-8", newline="\n"
    )
    return count


# ---- grade


class Finder(importlib.abc.MetaPathFinder):
    """The reader's files of the model path, and those beside them that the package has not."""

    def __init__(self, folder: Path):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        if name == PACKAGE:
            places = {"submodule_search_locations": [str(HOME)]}
            return importlib.util.spec_from_file_location(name, HOME / "__init__.py", **places)
        package, _, module = name.rpartition(".")
        file = self.folder / f"{module}.py"
        own = file.is_file() and not (HOME / file.name).exists() and not (HOME / module).exists()
        if package != PACKAGE or not (module in FILES or own):
            return None
        return importlib.util.spec_from_file_location(name, file)


def package_of(folder: Path) -> Path:
    """The reader's package in a folder. Raises CapstoneError where a file of it is missing."""
    package = folder / PACKAGE
    if not package.is_dir():
        raise CapstoneError(
            f"{folder} holds no {PACKAGE}/; write one with `make blank`, or name another: "
            "make grade OF=folder"
        )
    missing = [f"{module}.py" for module in FILES if not (package / f"{module}.py").is_file()]
    if missing:
        raise CapstoneError(f"{package} lacks {', '.join(missing)}; copy it from a new blank")
    return package


@contextlib.contextmanager
def readers_package(folder: Path):
    """Inside, the package's modules of the model path are those of the folder, imported anew."""
    package = package_of(folder).resolve()
    finder, cached = Finder(package), sys.dont_write_bytecode
    before = _modules()
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    sys.dont_write_bytecode = True  # nothing is left behind in the reader's folder
    try:
        _import_all(package)
        yield package
        demand_readers(package)
    finally:
        sys.meta_path.remove(finder)
        sys.dont_write_bytecode = cached
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(before)


def _modules() -> dict:
    return {
        name: sys.modules[name] for name in [*sys.modules] if f"{name}.".startswith(f"{PACKAGE}.")
    }


def _import_all(package: Path) -> None:
    for module in FILES:
        try:
            importlib.import_module(f"{PACKAGE}.{module}")
        except Exception as error:
            if isinstance(error, SyntaxError):
                line, what = error.lineno, error.msg
            else:
                line, what = _line(package, error), f"{type(error).__name__}: {error}"
            raise CapstoneError(f"{module}.py cannot be imported, line {line}: {what}") from None
    demand_readers(package)


def _line(package: Path, error: Exception) -> int | str:
    frames = traceback.extract_tb(error.__traceback__)
    return next(
        (one.lineno for one in reversed(frames) if package in Path(one.filename).parents), "?"
    )


def demand_readers(package: Path) -> None:
    """Raises CapstoneError unless every module of the model path was loaded from the folder."""
    for module in FILES:
        found = Path(sys.modules[f"{PACKAGE}.{module}"].__file__).resolve()
        if found != package / f"{module}.py":
            raise CapstoneError(f"{module} was loaded from {found}, which is not yours; not graded")


def grade(folder: Path, only: str = "") -> bool:
    """Print a row for each part -> whether all are equal. Raises CapstoneError, or ValueError.

    only: how the names of the parts begin.
    """
    with readers_package(folder) as package:
        compare = importlib.import_module(f"{PACKAGE}.parity.grade.run")
        print(f"graded: {len(FILES)} files of {package}")
        rows = []
        for row in compare.rows(package, HOME.parent / "data" / "pocket", only):
            print(row, flush=True)
            rows.append(row)
    equal = sum(row.equal for row in rows)
    print(f"{equal} of {len(rows)} parts: equal")
    return equal == len(rows)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.course.publish.capstone")
    parser.add_argument("what", choices=("blank", "grade"))
    parser.add_argument("folder", nargs="?", type=Path, default=BLANK, help="default: blank/")
    parser.add_argument("--part", default="", help="grade only the parts that begin so: mmdit")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    try:
        if options.what == "grade":
            return 0 if grade(folder, options.part) else 1
        count = write_blank(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{folder}: {count} functions to write; its README.md lists them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
