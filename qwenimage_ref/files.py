"""Small files: JSON read with limits, files written whole or not at all, errors of one line."""

import contextlib
import functools
import json
import os
import re
import secrets
import signal
import stat
import threading
from pathlib import Path

from safetensors import SafetensorError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there, nothing is removed
    fcntl = None

LONGEST_JSON = 16_000_000  # bytes; an official header has under 200,000


class CheckpointError(ValueError):
    """Files that do not hold what the network needs, or that cannot be written."""


def demand_regular(file: Path) -> None:
    """Raises CheckpointError unless there is a file that ends: a pipe may wait for ever."""
    if not file.exists():
        raise CheckpointError(f"{file} is missing; is it downloaded?")
    if not file.is_file():
        raise CheckpointError(f"{file} must be a regular file, not a folder, pipe or device")


def open_regular(path: str | Path):
    """A binary file, opened for reading. Raises OSError for a pipe or device: those may wait."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it must be a regular file, not a folder, pipe or device")
    return open(descriptor, "rb")


def read_bytes(path: str | Path) -> bytes:
    """The content of a small file. Raises OSError or ValueError, which do not name it."""
    with open_regular(path) as opened:
        content = opened.read(LONGEST_JSON + 1)
    if len(content) > LONGEST_JSON:
        raise ValueError(f"it is longer than {LONGEST_JSON:,} bytes")
    return content


def read_json(path: Path):
    """The content of a small JSON file. Raises OSError or ValueError, which do not name it."""
    return parse_json(read_bytes(path))


def parse_json(content: bytes):
    """JSON that every parser reads alike: UTF-8, no key twice, no NaN. Raises ValueError."""
    try:
        text = content.decode("utf-8")  # left to itself, the parser also takes half characters
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list) -> dict:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is there twice")
    return table


def _no_number(constant: str):
    raise ValueError(f"{constant} is not JSON")


def shorten(items, most: int = 3, longest: int = 100) -> str:
    """The first few, each printable and of bounded length: a damaged file may name anything."""
    items = [item if item.isprintable() else repr(item) for item in map(str, items)]
    shown = [i if len(i) <= longest else f"{i[: longest - 3]}..." for i in items[:most]]
    return ", ".join(shown) + (f" and {len(items) - most} more" if len(items) > most else "")


@contextlib.contextmanager
def partial_file(path: Path):
    """Yields a path beside `path` for a file in the making, which is gone when the block ends.

    The file is there already, empty and locked as long as the block lasts: what another process
    left when it was killed is not locked any more, and is removed.
    """
    path = Path(path)
    _remove_abandoned(path)
    # careful: named before it is made, or an interruption in between would leave it behind
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as opened:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                _lock(opened)
            yield partial
    finally:
        partial.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    for other in _partials(path.parent).pop(path.name, ()):
        # locked: somebody is writing it; gone: another process has removed it
        with contextlib.suppress(OSError), other.open("rb") as opened:
            _lock(opened)
            other.unlink()


@functools.cache
def _partials(folder: Path) -> dict[str, list[Path]]:
    """{name: partial files of it} as this process first sees a folder; one may have many files"""
    partials = {}
    for path in folder.iterdir() if fcntl and folder.is_dir() else ():
        if match := re.fullmatch(r"\.(.+)\.[0-9a-f]{8}", path.name):
            partials.setdefault(match[1], []).append(path)
    return partials


def look_again() -> None:
    """Let this process see folders anew, because another one may have been killed in between."""
    _partials.cache_clear()


def _lock(opened) -> None:
    """Raises OSError where another process, or another part of this one, has the file locked."""
    if fcntl:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def whole_file(path: Path):
    """Yields a temporary path beside `path` that takes its name only if the block succeeds.

    Raises OSError, one line, where the disk is full; safetensors' own error counts as one.
    """
    with partial_file(path) as partial:
        mode = stat.S_IMODE(partial.stat().st_mode)  # the mode that the umask gives
        try:
            yield partial
        except SafetensorError as error:
            raise OSError(f"{path} cannot be written ({error}); make room there") from None
        except OSError as error:
            if error.strerror and error.filename is None:  # a full disk is reported so
                error.filename = str(path)
            raise
        partial.chmod(mode)  # some libraries put a file of their own there, for its owner alone
        os.replace(partial, path)


def remove_partials(path: Path) -> None:
    """Remove what killed processes left of `partial_file(path)`."""
    left = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}")
    for other in path.parent.iterdir():
        if left.fullmatch(other.name):
            other.unlink(missing_ok=True)


@contextlib.contextmanager
def interrupts_wait():
    """Ctrl-C inside the block takes effect at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no thread but the main one is ever interrupted
        return
    came, before = [], signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, lambda *_: came.append(True))
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
