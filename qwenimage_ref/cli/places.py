"""Files and folders that an option names, checked before anything slow happens."""

import os  # careful: pathlib's own checks raise OSError for a name that is too long
from pathlib import Path

from .console import UsageError


def demand_file(option: str, file: Path) -> None:
    """Raises UsageError unless there is a file to be read."""
    if os.path.isdir(file):
        raise UsageError(f"{option} must be a file, got the folder {file}; name a file in it")
    if not os.path.exists(file):
        raise UsageError(f"{option} must be a file that exists, got {file}; check the path")
    if not os.path.isfile(file):
        raise UsageError(f"{option} must be a regular file, got {file}; copy its content to one")


def demand_output(option: str, file: Path, example: str) -> None:
    """Raises UsageError unless a file of this name can be written, in the place of an old one.

    example: a file name for the message.
    """
    from ..files import partial_file, shorten

    if os.path.isdir(file):
        raise UsageError(f"{option} must be a file, got the folder {file}; try {file / example}")
    if not os.path.isdir(file.parent):
        raise UsageError(
            f"{option} must be in a folder that exists, got {file}; make {file.parent} first"
        )
    try:
        with partial_file(file) as partial:  # a trial, because permissions alone do not say it
            partial.touch()
    except OSError as error:
        raise UsageError(
            f"{option} must be writable, got {shorten([file], longest=300)} ({error.strerror}); "
            "choose another"
        ) from None


def demand_folder(option: str, folder: Path) -> None:
    """Raises UsageError where no file can be written in the folder, which need not exist yet."""
    from ..files import partial_file, shorten

    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    name = next(iter(folder.parts[len(nearest.parts) :]), "file")  # the first to be made
    try:
        with partial_file(nearest / name):
            pass
    except OSError as error:
        raise UsageError(
            f"{option} must be a folder that can be written to, got "
            f"{shorten([folder], longest=300)} ({error.strerror}); choose another"
        ) from None
