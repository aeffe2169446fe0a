"""The learner's files in the place of the package's own, and what they compute.

python -m qwenimage_ref.course.publish.learners_package FOLDER SCRATCH PART ...

That command is the process that `make grade` starts: a learner's code may print, end it, or never
return, so nothing it says counts. It reads SCRATCH/given.pt and writes SCRATCH/imported.pt and then
SCRATCH/0.pt, 1.pt, ..., one file for each part; the process that started it compares them.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import sys
import traceback
from pathlib import Path

import torch

from ...repository import PACKAGE as PACKAGE_FOLDER
from ...repository import POCKET

PACKAGE = "qwenimage_ref"
MODULES = ("bpe", "tokenizer", "text_encoder", "vae", "rope", "mmdit", "sampler", "pipeline")


class CapstoneError(ValueError):
    """A folder that cannot be written or graded; one line with the remedy."""


class Finder(importlib.abc.MetaPathFinder):
    """The learner's files of the model path, and those beside them that the package has not."""

    def __init__(self, folder: Path):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        if name == PACKAGE:
            places = {"submodule_search_locations": [str(PACKAGE_FOLDER)]}
            return importlib.util.spec_from_file_location(
                name, PACKAGE_FOLDER / "__init__.py", **places
            )
        package, _, module = name.rpartition(".")
        file = self.folder / f"{module}.py"
        own = (
            file.is_file()
            and not (PACKAGE_FOLDER / file.name).exists()
            and not (PACKAGE_FOLDER / module).exists()
        )
        if package != PACKAGE or not (module in MODULES or own):
            return None
        return importlib.util.spec_from_file_location(name, file)


def package_of(folder: Path) -> Path:
    """The learner's package in a folder. Raises CapstoneError where a file of it is missing."""
    package = folder / PACKAGE
    if not package.is_dir():
        raise CapstoneError(
            f"{folder} holds no {PACKAGE}/; write one with `make blank`, or name another: "
            "make grade OF=folder"
        )
    missing = [f"{module}.py" for module in MODULES if not (package / f"{module}.py").is_file()]
    if missing:
        raise CapstoneError(f"{package} lacks {', '.join(missing)}; copy it from a new blank")
    return package


@contextlib.contextmanager
def learners_package(folder: Path):
    """Inside, the package's modules of the model path are those of the folder, imported anew."""
    package = package_of(folder).resolve()
    finder, cached = Finder(package), sys.dont_write_bytecode
    before = _modules()
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    sys.dont_write_bytecode = True  # nothing is left behind in the learner's folder
    try:
        _import_all(package)
        yield package
        demand_own_files(package)
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
    for module in MODULES:
        try:
            importlib.import_module(f"{PACKAGE}.{module}")
        except (Exception, SystemExit) as error:
            if isinstance(error, SyntaxError):
                line, what = error.lineno, error.msg
            else:
                line, what = _line(package, error), f"{type(error).__name__}: {error}"
            raise CapstoneError(f"{module}.py cannot be imported, line {line}: {what}") from None
    demand_own_files(package)


def _line(package: Path, error: BaseException) -> int | str:
    frames = traceback.extract_tb(error.__traceback__)
    return next(
        (one.lineno for one in reversed(frames) if package in Path(one.filename).parents), "?"
    )


def demand_own_files(package: Path) -> None:
    """Raises CapstoneError unless every module of the model path was loaded from the folder."""
    for module in MODULES:
        origin = Path(sys.modules[f"{PACKAGE}.{module}"].__file__).resolve()
        if origin != package / f"{module}.py":
            raise CapstoneError(
                f"{module} was loaded from {origin}, which is not yours; not graded"
            )


# ---- the process that runs it


def put(scratch: Path, name: str, value) -> None:
    """Write a value as SCRATCH/NAME.pt, which is there as a whole or not at all."""
    torch.save(value, scratch / f"{name}.partial")
    os.replace(scratch / f"{name}.partial", scratch / f"{name}.pt")


def compute(folder: Path, scratch: Path, parts: list[str]) -> None:
    """Write what the learner's package computes of each part."""
    given = torch.load(scratch / "given.pt", weights_only=True)
    with learners_package(folder) as package:
        put(scratch, "imported", "")
        ours = importlib.import_module(f"{PACKAGE}.parity.grade.ours")
        for number, answer in enumerate(ours.answers(package, POCKET, given, parts)):
            put(scratch, str(number), answer)
    put(scratch, "checked", "")


if __name__ == "__main__":
    learners_folder, scratch_folder, *parts_to_compute = sys.argv[1:]
    try:
        compute(Path(learners_folder), Path(scratch_folder), parts_to_compute)
    except CapstoneError as refusal:
        for file in ("imported", "checked"):
            put(Path(scratch_folder), file, str(refusal))
