"""Find .safetensors files, check their headers, and read tensors at the places that they give.

A .safetensors file is eight bytes with the length of the header, the header in JSON, then the
tensors one after the other. Nothing is mapped: a file that shrinks while it is read is an error,
never a signal.
"""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..files import LONGEST_JSON, CheckpointError, demand_regular, parse_json, read_json, shorten

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LONGEST_NAME = 1_000  # characters of a tensor's name; official names have under 100
MOST_SHARDS = 1000  # the official ones have nine at most
SHARD_NAME = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
APPLE_DOUBLE = "._"  # macOS keeps attributes of the file NAME in ._NAME, on disks without any
# segments that compilers and parallel wrappers put into names; no official name has one
WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F16": 2, "BF16": 2,
    "I16": 2, "U16": 2, "F32": 4, "I32": 4, "U32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
DTYPES = {  # types of the tensors from which networks are filled
    "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "U8": torch.uint8, "I8": torch.int8,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where one tensor lies."""

    file: Path
    dtype: str  # the header's spelling: BF16, F32, ...
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file
    stop: int


class Places(dict):
    """{key: place} of one or more files, and the metadata in their headers"""

    def __init__(self, places=(), metadata: dict[str, str] | None = None):
        super().__init__(places)
        self.metadata = metadata or {}


def read_tensor(place: Place, memory: torch.Tensor | None = None) -> torch.Tensor:
    """The tensor at this place, in memory of its own. Raises CheckpointError if it is cut off.

    memory: bytes to use for it, if they are as many.
    """
    size = place.stop - place.start
    fits = memory is not None and len(memory) == size
    numbers = memory if fits else torch.empty(size, dtype=torch.uint8)
    read_into(place.file, place.start, numbers)
    return numbers.view(DTYPES[place.dtype]).view(place.shape)


def read_into(path: Path, start: int, into: torch.Tensor) -> None:
    """Fill a tensor of bytes from a file. Raises CheckpointError where the file ends before."""
    buffer = memoryview(into.numpy())
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while len(buffer) and (count := file.readinto(buffer)):
                buffer = buffer[count:]
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if len(buffer):
        raise CheckpointError(f"{path} was cut short while it was read; fetch it again")


def read_header(file: Path) -> Places:
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
        reason = shorten([" ".join(str(error).split())], longest=300)
        raise CheckpointError(
            f"{file} is cut short or damaged ({reason}); fetch it again"
        ) from None


def _places(file: Path, header, begin: int, size: int) -> Places:
    if not isinstance(header, dict):
        raise ValueError("the header is not a table")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("__metadata__ must map strings to strings")
    if longest := max((key for key in header if len(key) > LONGEST_NAME), default="", key=len):
        raise ValueError(f"a name has {len(longest):,} characters; at most {LONGEST_NAME:,} do")
    places = {key: _place(key, entry, file, begin) for key, entry in header.items()}
    places = dict(sorted(places.items(), key=lambda item: (item[1].start, item[1].stop)))
    end = begin
    for key, place in places.items():
        if place.start != end:
            raise ValueError(f"{shorten([key])} does not begin where the tensor before it ends")
        end = place.stop
    if end != size:
        raise ValueError(f"the tensors end at byte {end:,}, the file at {size:,}")
    return Places(places, metadata)


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


def find_tensors(source) -> Places:
    """A folder (index or single file) or list of files -> {key: place}

    Raises CheckpointError that names a missing folder, shard or an unreadable file.
    """
    places, problems = survey(source)
    for _, problem in problems:
        raise CheckpointError(problem)
    return places


def survey(source) -> tuple[Places, list[tuple[Path, str]]]:
    """The same -> {key: place} of all that can be read, [(file, what is wrong with it), ...]"""
    try:
        files, promised = _files_of(source)
    except CheckpointError as error:
        return Places(), [(Path(source), str(error))]
    where, problems = Places(), []
    missing = [file for file in files if promised and not file.is_file()]
    if missing:
        names = shorten([file.name for file in missing], most=20)
        line = f"{len(missing)} of {len(files)} shards are missing: {names}; finish the download"
        problems.append((missing[0], f"{missing[0].parent}: {line}"))
    for file in files:
        if file in missing:
            continue
        try:
            places = read_header(file)
            if promised:
                _demand_promised(file, places.keys(), promised[file])
            if twice := sorted(places.keys() & where.keys()):
                raise CheckpointError(
                    f"{shorten(twice)} is in {where[twice[0]].file} and in {file.name}; "
                    "keep the one that belongs here"
                )
            where.update(places)
            where.metadata.update(places.metadata)
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
    indexes = _named(folder, "*.safetensors.index*.json")  # a variant stands before .json
    if len(indexes) > 1:
        names = shorten(index.name for index in indexes)
        raise CheckpointError(f"{folder} holds {names}; keep the one that belongs here")
    if indexes:
        promised = _promises(indexes[0])
        return sorted(promised), promised
    files = _named(folder, "*.safetensors")
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


def _named(folder: Path, pattern: str) -> list[Path]:
    return sorted(p for p in folder.glob(pattern) if not p.name.startswith(APPLE_DOUBLE))


def _promises(index: Path) -> dict[Path, set[str]]:
    """An index file -> {shard: its keys}. Raises CheckpointError for names outside the folder."""
    try:
        weight_map = read_json(index)["weight_map"]
        names = set(weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{index} is not an index file; fetch it again") from None
    if not 1 <= len(names) <= MOST_SHARDS:
        raise CheckpointError(
            f"{index} must name 1 to {MOST_SHARDS} shards, got {len(names)}; fetch it again"
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


def _demand_promised(file: Path, keys, promised: set[str]) -> None:
    if lost := sorted(promised - keys):
        raise CheckpointError(
            f"{file} lacks {shorten(lost)}, which the index promises; fetch both again"
        )
    if extra := sorted(keys - promised):
        raise CheckpointError(
            f"{file} holds {shorten(extra)}, which the index does not place there; fetch both again"
        )


def demand_safetensors(file: Path) -> None:
    """Raises CheckpointError for a file that is not there, or of another kind."""
    demand_regular(file)
    if file.suffix not in (".safetensors", ".sft"):
        raise CheckpointError(
            f"{file} must be a .safetensors file; pickle files can run any code and are never "
            "opened"
        )


def open_file(file: Path):
    """Open one .safetensors file to read tensors, or say in one line why not."""
    demand_safetensors(file)
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is cut short or damaged ({error}); fetch it again") from None
