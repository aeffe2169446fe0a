"""Files of tensors in the official layout: found, their headers read and mistrusted, written whole.

A .safetensors file is eight bytes with the length of the header, the header in JSON, then the
tensors one after the other. Everything that is said here of a file is read from its header.
"""

import contextlib
import json
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LONGEST_HEADER = 100_000_000  # bytes, as the format has it; the official ones have under 200,000
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F16": 2, "BF16": 2, "I16": 2,
    "U16": 2, "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
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
            if size < 8 or length > min(size - 8, LONGEST_HEADER):
                raise ValueError(f"{size:,} bytes hold no header of {length:,}")
            header = json.loads(opened.read(length), object_pairs_hook=_once)
        return _places(file, header, 8 + length, size)
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        reason = shorten([" ".join(str(error).split())])
        raise CheckpointError(
            f"{file} is cut short or damaged ({reason}); fetch it again"
        ) from None


def _once(pairs: list) -> dict:
    """JSON allows a key twice and parsers then differ in which one they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _places(file: Path, header, begin: int, size: int) -> dict[str, Place]:
    if not isinstance(header, dict):
        raise ValueError("the header is not a table")
    header.pop("__metadata__", None)
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
        whole = all(type(n) is int and 0 <= n < 2**63 for n in [*shape, start, stop])
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
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        folder = Path(source)
        indexes = sorted(folder.glob("*.safetensors.index.json"))
        if indexes:
            return _read_index(indexes[0])
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            if others := [p.name for p in folder.iterdir() if p.suffix in PICKLES]:
                raise CheckpointError(
                    f"{folder} holds only {shorten(others)}: pickle files can run any code and "
                    "are never opened; convert them to .safetensors"
                )
            raise CheckpointError(f"{folder} holds no .safetensors file; is it downloaded?")
    else:
        files = [Path(f) for f in ([source] if isinstance(source, (str, Path)) else source)]
    where = {}
    for file in files:
        for key, place in read_header(file).items():
            if key in where:
                raise CheckpointError(
                    f"{shorten([key])} is in {where[key].file.name} and in {file.name}; "
                    "keep the one that belongs here"
                )
            where[key] = place
    return where


def _read_index(index: Path) -> dict[str, Place]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = set(weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{index} is not an index file; fetch it again") from None
    for name in sorted(names, key=str):
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise CheckpointError(
                f"{index}: {shorten([name])} is not a .safetensors file of this folder; "
                "fetch the index again"
            )
    missing = sorted(name for name in names if not (index.parent / name).is_file())
    if missing:
        raise CheckpointError(
            f"{index.parent}: {len(missing)} of {len(names)} shards are missing: "
            f"{shorten(missing)}; finish the download"
        )
    where = {}
    for name in sorted(names):
        held = read_header(index.parent / name)
        promised = {key for key, file in weight_map.items() if file == name}
        if lost := sorted(promised - held.keys()):
            raise CheckpointError(
                f"{index.parent / name} lacks {shorten(lost)}, which {index.name} promises; "
                "fetch both again"
            )
        if extra := sorted(held.keys() - promised):
            raise CheckpointError(
                f"{index.parent / name} holds {shorten(extra)}, which {index.name} does not "
                "place there; fetch both again"
            )
        where |= held
    return where


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
def whole_file(path: Path):
    """Yields a temporary path beside `path` that takes its name only if the block succeeds."""
    path = Path(path)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(partial)
        os.chmod(partial, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
