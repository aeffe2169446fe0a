"""The .gguf format: headers, read with every number checked, and written.

A .gguf file is a header with metadata and the place of each tensor, then the tensors in the same
order. Sizes of a tensor stand there fastest first: a weight that is (out, in) here is [in, out].
"""

import math
import os
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint.headers import Place
from ..files import CheckpointError, demand_regular, shorten
from .gguf_blocks import LAYOUTS, row_bytes

ARCHITECTURE = "qwen_image"
ZERO_COND = f"{ARCHITECTURE}.zero_cond_t"  # our key; other programs leave an empty tensor
MAGIC, VERSION, ALIGNMENT = b"GGUF", 3, 32
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
           12: "d"}  # fmt: skip
U32, BOOL, TEXT, ARRAY = 4, 7, 8, 9  # numbers of the types of metadata
MOST = 100_000  # tensors, or entries of metadata; the official model has 1,933 and 3
MOST_ENTRIES = 1_000_000  # entries of an array; vocabularies of language models have 150,000
LONGEST_NAME, LONGEST_TEXT = 1_000, 1_000_000  # bytes
LONGEST_HEADER = 16_000_000  # bytes; those of language models, with a vocabulary, have 6,000,000
NOT_READ = {  # ggml's numbers of kinds that other files have
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
KINDS = {layout.number: kind for kind, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class _Places:
    """Where the tensors of a file lie."""

    places: dict[str, Place]  # shapes as in torch; of dtype "Q8_0", "F32", ...

    @property
    def kinds(self) -> dict[str, int]:
        """{kind: how many tensors are of it}, the most frequent first"""
        return dict(Counter(place.dtype for place in self.places.values()).most_common())


@dataclass(frozen=True)
class GGUF(_Places):
    """What the header of a file says."""

    metadata: dict

    @property
    def zero_cond_t(self) -> bool | None:
        """What the file says of Edit-2511's rule of times; None: nothing"""
        return self.metadata.get(ZERO_COND)


@dataclass(frozen=True)
class GGUFPlan(_Places):
    """A file that could be written."""

    header: bytes
    size: int  # bytes of the whole file


# --- reading


def read_gguf(file: str | Path) -> GGUF:
    """The header of a .gguf file. Raises CheckpointError unless all that it says holds.

    As llama.cpp does, it demands that the tensors lie in their order and fill the file.
    """
    file = Path(file)
    demand_regular(file)
    try:
        with file.open("rb") as opened:
            reader = _Reader(opened)
            metadata, infos = _header(reader)
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment not in (8, 16, 32, 64, 128, 256, 512, 1024):
            raise ValueError(
                f"its alignment must be 8, 16, ... 1024, got {shorten([repr(alignment)])}"
            )
        if type(metadata.get(ZERO_COND, True)) is not bool:
            raise ValueError(f"{ZERO_COND} must be true or false")
        places = _places(file, infos, reader.at, reader.size, alignment)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        reason = shorten([" ".join(str(error).split())], longest=300)
        raise CheckpointError(
            f"{file} is cut short or damaged ({reason}); fetch it again"
        ) from None
    return GGUF(places, metadata)


class _Reader:
    """Takes one thing after the other from the header; each only if the file is long enough."""

    def __init__(self, file):
        self.file, self.at = file, 0
        self.size = os.fstat(file.fileno()).st_size

    def take(self, length: int) -> bytes:
        if length > self.size - self.at:
            raise ValueError(f"its header ends behind the file's {self.size:,} bytes")
        self.at += length
        if self.at > LONGEST_HEADER:
            raise ValueError(f"its header is longer than {LONGEST_HEADER:,} bytes")
        taken = self.file.read(length)
        if len(taken) < length:
            raise ValueError("it was cut short while it was read")
        return taken

    def numbers(self, code: str, count: int) -> tuple:
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}")))

    def number(self, code: str):
        return self.numbers(code, 1)[0]

    def text(self, longest: int) -> str:
        if (length := self.number("Q")) > longest:
            raise ValueError(f"a text of {length:,} bytes is in its header")
        return self.take(length).decode("utf-8")

    def value(self, kind: int):
        """A piece of metadata; arrays become lists, of numbers or texts."""
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == TEXT:
            return self.text(LONGEST_TEXT)
        if kind != ARRAY:
            raise ValueError(f"metadata of type {kind} are not known")
        inner, count = self.number("I"), self.number("Q")
        if count > MOST_ENTRIES:
            raise ValueError(f"an array of {count:,} entries is in its metadata")
        if inner in NUMBERS:
            return list(self.numbers(NUMBERS[inner], count))
        if inner != TEXT:
            raise ValueError(f"arrays of type {inner} are not known")
        return [self.text(LONGEST_TEXT) for _ in range(count)]


def _header(reader: _Reader) -> tuple[dict, dict]:
    """-> metadata, {name: (shape, ggml's number of the kind, offset)}"""
    if reader.take(4) != MAGIC:
        raise ValueError("it must begin with GGUF")
    if (version := reader.number("I")) not in (2, VERSION):
        raise ValueError(f"its version must be 2 or {VERSION}, got {version}")
    tensors, entries = reader.numbers("Q", 2)
    if max(tensors, entries) > MOST:
        raise ValueError(f"it claims {tensors:,} tensors and {entries:,} entries of metadata")
    metadata, infos = {}, {}
    for _ in range(entries):
        key = _new_name(reader, metadata)
        metadata[key] = reader.value(reader.number("I"))
    for _ in range(tensors):
        name = _new_name(reader, infos)
        if not 1 <= (axes := reader.number("I")) <= 4:
            raise ValueError(f"{shorten([name])} has {axes} dimensions")
        shape = reader.numbers("Q", axes)[::-1]  # fastest first, in the file
        infos[name] = (shape, reader.number("I"), reader.number("Q"))
    return metadata, infos


def _new_name(reader: _Reader, known: dict) -> str:
    name = reader.text(LONGEST_NAME)
    if name in known:
        raise ValueError(f"{shorten([name])} is there twice")
    return name


def _places(file: Path, infos: dict, header: int, size: int, alignment: int) -> dict[str, Place]:
    places, begin = {}, _padded(header, alignment)
    stop = end = begin
    for name, (shape, number, offset) in infos.items():
        shown = shorten([name])
        if number not in KINDS:
            raise CheckpointError(
                f"{file}: {shown} is stored as {NOT_READ.get(number, f'type {number}')}; choose a "
                f"file of {', '.join(LAYOUTS)}"
            )
        kind = KINDS[number]
        try:
            stop = end + math.prod(shape[:-1]) * row_bytes(shape[-1], kind)
        except ValueError as error:
            raise ValueError(f"{shown}: {error}") from None
        if begin + offset != end:
            raise ValueError(f"{shown} begins at byte {begin + offset:,}, not at {end:,}")
        if stop > size:
            raise ValueError(f"{shown} ends at byte {stop:,}, the file at {size:,}")
        places[name] = Place(file, kind, shape, end, stop)
        end = _padded(stop, alignment)
    if not stop <= size <= end:
        raise ValueError(f"the tensors end at byte {stop:,}, the file at {size:,}")
    return places


def _padded(at: int, alignment: int) -> int:
    return at + -at % alignment


# --- writing


def plan_file(file: Path, metadata: dict, tensors: dict[str, tuple]) -> GGUFPlan:
    """Where everything will lie. metadata: texts, numbers, truths; tensors: {name: (shape, kind)}

    Raises ValueError for rows that cannot be cut into whole blocks.
    """
    infos, end = {}, 0
    for name, (shape, kind) in tensors.items():
        begin = _padded(end, ALIGNMENT)
        try:
            end = begin + math.prod(shape[:-1]) * row_bytes(shape[-1], kind)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        infos[name] = (shape, kind, begin, end)
    header = _written_header(metadata, infos)
    data = len(header)
    places = {
        name: Place(file, kind, shape, data + begin, data + end)
        for name, (shape, kind, begin, end) in infos.items()
    }
    return GGUFPlan(places, header, data + _padded(end, ALIGNMENT))


def _written_header(metadata: dict, infos: dict[str, tuple]) -> bytes:
    entries = [_text(key) + _value(value) for key, value in metadata.items()]
    tensors = [
        _text(name)
        + struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        + struct.pack("<IQ", LAYOUTS[kind].number, begin)
        for name, (shape, kind, begin, _) in infos.items()
    ]
    counts = struct.pack("<IQQ", VERSION, len(tensors), len(entries))
    header = b"".join([MAGIC, counts, *entries, *tensors])
    return header.ljust(_padded(len(header), ALIGNMENT), b"\0")


def _value(value: str | int | bool) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", TEXT) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    return struct.pack("<II", U32, value)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()
