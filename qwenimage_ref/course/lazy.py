"""Names of chapters, imported when they are first asked for: EX_05_ROTATE is in chapter_05.py."""

import importlib
import pkgutil
import re
import sys
from types import ModuleType

NUMBER = re.compile(r"_(\d\d)(?:_|$)")  # the chapter's number, in a name of that chapter


def attribute(package: str, name: str):
    """What a chapter of a package defines, by a name that holds the number of the chapter.

    For the `__getattr__` of the package. Raises AttributeError where no chapter has such a name.
    """
    number = NUMBER.search(name)
    if number and not name.startswith("_"):
        try:
            return getattr(importlib.import_module(f"{package}.chapter_{number[1]}"), name)
        except ModuleNotFoundError as error:
            if error.name != f"{package}.chapter_{number[1]}":
                raise
    raise AttributeError(f"module {package!r} has no attribute {name!r}")


def chapters(package: str) -> list[ModuleType]:
    """All chapters of a package, in order."""
    names = sorted(module.name for module in pkgutil.iter_modules(sys.modules[package].__path__))
    return [
        importlib.import_module(f"{package}.{name}")
        for name in names
        if name.startswith("chapter_")
    ]


def names(package: str) -> list[str]:
    """What the chapters of a package define under their numbers, for its `__dir__`."""
    return [
        name
        for chapter in chapters(package)
        for name in vars(chapter)
        if NUMBER.search(name) and not name.startswith("_")
    ]
