"""Files of tensors in the official layout: found, their headers read and mistrusted, written whole.

A .safetensors file is eight bytes with the length of the header, the header in JSON, then the
tensors one after the other. Everything that is said here of a file is read from its header.
"""

import contextlib
import json
import math
import os
import re
import secrets
import signal
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LONGEST_JSON = 16_000_000  # bytes; an official header has under 200,000
MOST_SHARDS = 1000  # the official ones have nine at most
SHARD_NAME = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F16": 2, "BF16": 2,
    "I16": 2, "U16": 2, "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip


class CheckpointError(ValueError):
    """Files that do not hold what the network needs, or that cannot be written."""


@dataclass(frozen=True)
class Place:
    """Where one tensor lies."""

    file: Path
    dtype: str  # as the header spells it: BF16, F32, ...
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file
    stop: int


def read_header(file: Path) -> dict[str, Place]:
    """A .safetensors file -> {key: place}, in the order of the bytes

    Raises CheckpointError unless the tensors fill the file exactly, none over another: a header
    that lies about one byte is not believed in anything.
    """
    demand_safetensors(file)
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or length > min(size - 8, LONGEST_JSON):
                raise ValueError(f"{size:,} bytes hold no header of {length:,}")
            header = parse_json(opened.read(length))
        return _places(file, header, 8 + length, size)
    except (OSError, ValueError) as error:
        reason = shorten([" ".join(str(error).split())])
        raise CheckpointError(
            f"{file} is cut short or damaged ({reason}); fetch it again"
        ) from None


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
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_number(constant: str):
    raise ValueError(f"{constant} is not JSON")


def _places(file: Path, header, begin: int, size: int) -> dict[str, Place]:
    if not isinstance(header, dict):
        raise ValueError("the header is not a table")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("the metadata are not texts")
    places = {key: _place(key, entry, file, begin) for key, entry in header.items()}
    places = dict(sorted(places.items(), key=lambda item: (item[1].start, item[1].stop)))
    end = begin
    for key, place in places.items():
        if place.start != end:
            raise ValueError(f"{shorten([key])} does not begin where the tensor before it ends")
        end = place.stop
    if end != size:
        raise ValueError(f"the tensors end at byte {end:,}, the file at {size:,}")
    return places


def _place(key: str, entry, file: Path, begin: int) -> Place:
    name = shorten([key])
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        # careful: torch has at most 64 dimensions, and the product of many takes forever
        whole = len(shape) <= 64 and all(
            type(n) is int and 0 <= n < 2**63 for n in [*shape, start, stop]
        )
        known = dtype in ITEM_BYTES
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{name} has no type, shape and offsets") from None
    if not known:
        raise ValueError(f"{name} is of type {shorten([dtype])}")
    if not whole or stop - start != ITEM_BYTES[dtype] * math.prod(shape):
        raise ValueError(f"{name}: its bytes are not those of its shape")
    return Place(file, dtype, tuple(shape), begin + start, begin + stop)


def find_tensors(source) -> dict[str, Place]:
    """A folder (index or single file) or list of files -> {key: place}

    Raises CheckpointError that names a missing folder, shard or an unreadable file.
    """
    where, problems = survey(source)
    for _, problem in problems:
        raise CheckpointError(problem)
    return where


def survey(source) -> tuple[dict[str, Place], list[tuple[Path, str]]]:
    """The same -> {key: place} of all that can be read, [(file, what is wrong with it), ...]"""
    try:
        files, promised = _files_of(source)
    except CheckpointError as error:
        return {}, [(Path(source), str(error))]
    where, problems = {}, []
    missing = [file for file in files if promised and not file.is_file()]
    if missing:
        names = shorten([file.name for file in missing], most=20)
        line = f"{len(missing)} of {len(files)} shards are missing: {names}; finish the download"
        problems.append((missing[0], f"{missing[0].parent}: {line}"))
    for file in files:
        if file in missing:
            continue
        try:
            held = read_header(file)
            if promised:
                _demand_promised(file, held.keys(), promised[file])
            if twice := sorted(held.keys() & where.keys()):
                raise CheckpointError(
                    f"{shorten(twice)} is in {where[twice[0]].file} and in {file.name}; "
                    "keep the one that belongs here"
                )
            where |= held
        except CheckpointError as error:
            problems.append((file, str(error)))
    return where, problems


def _files_of(source) -> tuple[list[Path], dict[Path, set[str]]]:
    """-> files, and the keys that the index promises in each; none where there is no index"""
    if not isinstance(source, (str, Path)):
        return [Path(file) for file in source], {}
    folder = Path(source)
    if not folder.is_dir():
        return [folder], {}
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if len(indexes) > 1:
        names = shorten(index.name for index in indexes)
        raise CheckpointError(f"{folder} holds {names}; keep the one that belongs here")
    if indexes:
        promised = _promises(indexes[0])
        return sorted(promised), promised
    files = sorted(folder.glob("*.safetensors"))
    if shards := [file.name for file in files if SHARD_NAME.search(file.name)]:
        raise CheckpointError(
            f"{folder} holds {shorten(shards)} and no index that says what belongs together; "
            "fetch the .safetensors.index.json, or save again"
        )
    if not files:
        if others := [p.name for p in folder.iterdir() if p.suffix in PICKLES]:
            raise CheckpointError(
                f"{folder} holds only {shorten(others)}: pickle files can run any code and "
                "are never opened; convert them to .safetensors"
            )
        raise CheckpointError(f"{folder} holds no .safetensors file; is it downloaded?")
    return files, {}


def _promises(index: Path) -> dict[Path, set[str]]:
    """An index file -> {shard: its keys}. Raises CheckpointError for names outside the folder."""
    try:
        weight_map = read_json(index)["weight_map"]
        names = set(weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{index} is not an index file; fetch it again") from None
    if not 1 <= len(names) <= MOST_SHARDS:
        raise CheckpointError(
            f"{index} names {len(names)} shards, not 1 to {MOST_SHARDS}; fetch it again"
        )
    for name in sorted(names, key=str):
        # careful: ASCII, for a name that looks like another; short, for the file system
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,200}\.safetensors", name, re.A):
            raise CheckpointError(
                f"{index}: {shorten([name])} is not a .safetensors file of this folder; "
                "fetch the index again"
            )
    promised = {index.parent / name: set() for name in names}
    for key, name in weight_map.items():
        promised[index.parent / name].add(key)
    return promised


def _demand_promised(file: Path, held, promised: set[str]) -> None:
    if lost := sorted(promised - held):
        raise CheckpointError(
            f"{file} lacks {shorten(lost)}, which the index promises; fetch both again"
        )
    if extra := sorted(held - promised):
        raise CheckpointError(
            f"{file} holds {shorten(extra)}, which the index does not place there; fetch both again"
        )


def demand_safetensors(file: Path) -> None:
    """Raises CheckpointError for a file that is not there, or of another kind."""
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; is it downloaded?")
    if file.suffix != ".safetensors":
        raise CheckpointError(
            f"{file} is not a .safetensors file; pickle files can run any code and are never opened"
        )


def open_file(file: Path):
    """Open one .safetensors file to read tensors, or say in one line why not."""
    demand_safetensors(file)
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is cut short or damaged ({error}); fetch it again") from None


def shorten(items, most: int = 3) -> str:
    """The first few, each printable and of bounded length: a damaged file may name anything."""
    items = [item if item.isprintable() else repr(item) for item in map(str, items)]
    shown = [item if len(item) <= 100 else f"{item[:97]}..." for item in items[:most]]
    return ", ".join(shown) + (f" and {len(items) - most} more" if len(items) > most else "")


@contextlib.contextmanager
def partial_file(path: Path):
    """Yields a path beside `path` for a file in the making, which is gone when the block ends."""
    # careful: named before it is made, or an interruption in between would leave it behind
    partial = Path(path).with_name(f".{Path(path).name}.{secrets.token_hex(4)}")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path):
    """Yields a temporary path beside `path` that takes its name only if the block succeeds."""
    with partial_file(path) as partial:
        yield partial
        os.replace(partial, path)


@contextlib.contextmanager
def interrupts_wait():
    """Ctrl-C inside the block takes effect at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is ever interrupted
        return
    came, before = [], signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, lambda *_: came.append(True))
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
