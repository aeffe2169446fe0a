"""Folders written as a whole or not at all: a full disk or Ctrl-C leaves the old content."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...files import interrupts_wait


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yields an empty folder on the disk of `target`, which is gone when the block ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # careful: named before it is made, or an interruption in between would leave it behind
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir()
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_files(folder: Path, files: dict[str, str]) -> None:
    """{path in the folder: text} -> files beside those that are there. Raises OSError.

    Every text is on the disk before the first file takes its name.
    """
    with folder_beside(folder) as beside:
        for name, text in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        with interrupts_wait():
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(beside / name, folder / name)


def replace_folder(built: Path, target: Path) -> None:
    """`built`, on the same disk, takes the place of `target`, which goes only then."""
    with folder_beside(target) as beside, interrupts_wait():
        if target.exists():
            os.replace(target, beside / "old")
        try:
            os.replace(built, target)
        except OSError:
            if (beside / "old").exists():
                os.replace(beside / "old", target)
            raise
