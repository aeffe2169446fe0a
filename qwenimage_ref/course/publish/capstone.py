"""The capstone: Qwen-Image written again from memory, part by part: `make blank`, `make grade`.

python -m qwenimage_ref.course.publish.capstone blank [FOLDER]
python -m qwenimage_ref.course.publish.capstone grade [FOLDER] [--part mmdit]

In the copy the functions of the model path say what they take and give, and are empty; parameters
are there, so official weights fit from the start. What is graded are these files alone; whatever
stands around them, the comparisons first of all, is the package's own and not the copy's.
"""

import argparse
import ast
import sys
from pathlib import Path

from ...repository import ROOT, in_a_clone
from .grading import grade
from .learners_package import MODULES, PACKAGE, PACKAGE_FOLDER, CapstoneError
from .whole import write_files

BLANK = ROOT / "blank"

# The files of the model path, in the order of the course, and what stays in them: constructors,
# which name the parameters, and what is about files, speed and good manners.
FILES = {
    "bpe": {"_in_order", "_letters"},
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
    "sampler": set(),
    "pipeline": {
        *("QwenImage.from_pretrained", "QwenImage.device", "QwenImage.dtype"),
        "QwenImage.__call__",
    },
}
CHAPTERS = dict(zip(MODULES, ("02", "02", "03", "04", "05", "06", "08", "09")))
EMPTY = "raise NotImplementedError"


def functions(text: str) -> dict[str, ast.FunctionDef]:
    """Name, as `Class.method` in a class -> definition, of all functions of a file."""
    functions_of = {}
    for node in ast.parse(text).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        functions_of |= {
            prefix + one.name: one for one in inside if isinstance(one, ast.FunctionDef)
        }
    return functions_of


def to_write(module: str, text: str) -> dict[str, ast.FunctionDef]:
    """The functions of a file that are left to the learner."""
    return {
        name: node
        for name, node in functions(text).items()
        if name not in FILES[module] and not name.endswith(".__init__")
    }


def blanked(module: str, text: str) -> str:
    """The file with signatures and docstrings, and nothing in the bodies left to the learner."""
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
and on pocket weights (`make grade OF=folder` where this folder is not `{blank}/`; `PART=mmdit` for
one file). It says what is not yet written, or by official tensor name where your numbers first part
from the reference's. Float32 numbers may differ by one millionth; "to the last bit" is praise.

Points: 1 for each single function of the three networks, 3 for each comparison of a whole, 5 for
the picture at the end. A file of which every part is equal is a milestone; there are seven.

Only the {files} files of the table are yours, and files that you add beside them. All the rest is
taken from the course's package, whatever you do to it here.
"""


def write_blank(folder: Path) -> int:
    """A copy of the package without the bodies -> the number of functions to be written.

    The folder is written as a whole or not at all. Raises CapstoneError, or OSError.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CapstoneError(
            f"{folder} is there already, and may hold your work; name another: make blank TO=folder"
        )
    files = {}
    for source in sorted(PACKAGE_FOLDER.rglob("*.py")):
        place = source.relative_to(PACKAGE_FOLDER)
        if place.parts[0] == "course":  # answers and checkers stay where the course is
            continue
        text = source.read_text(encoding="utf-8")
        if place.stem in FILES and len(place.parts) == 1:
            text = blanked(place.stem, text)
        files[f"{PACKAGE}/{place.as_posix()}"] = text
    files["README.md"], count = _readme()
    write_files(folder, files)
    return count


def _readme() -> tuple[str, int]:
    """The blank's README.md, and the number of functions that it lists."""
    rows, count = [], 0
    for module in FILES:
        text = (PACKAGE_FOLDER / f"{module}.py").read_text(encoding="utf-8")
        names = to_write(module, text)
        gone = len(text.splitlines()) - len(blanked(module, text).splitlines()) + len(names)
        listed = ", ".join(f"`{name}`" for name in names)
        rows.append(f"| `{module}.py` | {CHAPTERS[module]} | {gone} | {listed} |")
        count += len(names)
    words = {"package": PACKAGE, "count": count, "files": len(FILES), "blank": BLANK.name}
    return README.format(rows="\n".join(rows), **words), count


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
    except OSError as error:
        print(
            f"{folder} could not be written ({error.strerror}), and nothing was; make room, or "
            "name another: make blank TO=folder",
            file=sys.stderr,
        )
        return 2
    print(f"{folder}: {count} functions to write; its README.md lists them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
