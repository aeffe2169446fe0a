"""Chapter 07: sixty blocks."""

import json
import struct
import tempfile
from pathlib import Path

import numpy as np

from .common import exercise, need
from .stack import ex_07_end, ex_07_mmdit  # noqa: F401
from .stack_steps import ex_07_patchify, ex_07_time, ex_07_unpatchify  # noqa: F401

# careful: in the order of their bytes, which is not that of the header
SHAPES_07 = {"wide": ("F32", (3, 5)), "deep": ("BF16", (2, 7, 4)), "last": ("F32", (6,))}


@exercise
def ex_07_tensor(load_tensor) -> str:
    """Load a named tensor, F32 or BF16, as float32 from a .safetensors file."""
    with tempfile.TemporaryDirectory() as folder:
        for number, note in enumerate(("", "a header of another length")):
            file = Path(folder) / f"{number}.safetensors"
            content, tensors = _file(note)
            file.write_bytes(content)
            for name, (dtype, wanted) in tensors.items():
                where = f"{name} ({dtype}, {list(wanted.shape)})"
                _judge(_called(load_tensor, file, name, where), wanted, dtype, where, content)
    return "four lines of a format, and every weight of the machine is yours"


def _called(load_tensor, file: Path, name: str, where: str):
    try:
        return load_tensor(file, name)
    except (UnicodeDecodeError, json.JSONDecodeError):
        problem = (
            "what you took for the header is not JSON; it begins after 8 bytes and is as long as "
            "those 8 say: an integer, its lowest byte comes first"
        )
    except struct.error as error:
        problem = f"struct says: {error}"
    except (OverflowError, MemoryError):
        problem = "the length is gigantic; its lowest byte comes first"
    except KeyError as error:
        problem = f"no {error} where you look; the header has a key for each tensor"
    except ValueError as error:
        problem = (
            f"{error}; the numbers do not fill the shape. How many bytes has one number of this "
            "type, and where does the tensor end?"
        )
    need(False, f"{where}: {problem}")


def _judge(answer, wanted, dtype: str, where: str, content: bytes) -> None:
    need(
        isinstance(answer, np.ndarray), f"{where}: give a numpy array, not {type(answer).__name__}"
    )
    need(
        answer.dtype == np.float32,
        f"{where}: an array of {answer.dtype}; whatever the file holds, give float32",
    )
    need(answer.size == wanted.size, f"{where}: {answer.size} numbers instead of {wanted.size}")
    need(
        answer.shape == wanted.shape,
        f"{where}: the shape is {list(answer.shape)}; the header says another",
    )
    for wrong, hint in _mistakes(wanted, dtype, content):
        need(not np.array_equal(answer, wrong, equal_nan=True), f"{where}: {hint}")
    same = np.array_equal(np.sort(answer, axis=None), np.sort(wanted, axis=None))
    hint = "other numbers than were written; where they are is said by data_offsets alone"
    if same:
        hint = "the right numbers in wrong places; along the last axis neighbours in the file stand"
    need(np.array_equal(answer, wanted), f"{where}: {hint}")


def _mistakes(wanted, dtype: str, content: bytes):
    """What comes out when one thing is done wrong, and what to say then."""
    raw = _bytes(wanted, dtype)
    length = int.from_bytes(content[:8], "little")
    begin = content.index(raw, 8 + length)

    def at(place: int):
        return _numbers(content[place : place + len(raw)], dtype).reshape(wanted.shape)

    yield (
        at(begin - 8 - length),
        "you read the header as numbers; offsets do not count from the beginning of the file",
    )
    yield (
        at(begin - 8),
        "8 bytes too early; the header's length counts the header, not the 8 bytes before it",
    )
    yield at(begin - length), "you read the header as numbers; data begin where it ends"
    if dtype == "BF16":
        half = np.frombuffer(raw, "<f2").astype(np.float32).reshape(wanted.shape)
        yield half, "that is float16; bf16 has the 8 exponent bits of a float32"
        whole = np.frombuffer(raw, "<u2")
        integers = whole.astype(np.float32).reshape(wanted.shape)
        yield integers, "integers: the bits of a bf16 were counted, not read as a number"
        low = whole.astype(np.uint32).view(np.float32).reshape(wanted.shape)
        yield low, "numbers near zero: the 16 bits are in the lower half of a float32"
    through = wanted.astype(np.float16).astype(np.float32)
    yield through, "all are zero now: a float16 on the way cannot hold numbers as small as these"
    if dtype == "F32":
        swapped = np.frombuffer(raw, ">f4").astype(np.float32).reshape(wanted.shape)
        yield swapped, "the bytes of each number are backwards; the lowest comes first"


def _file(note: str) -> tuple[bytes, dict]:
    """A file with three tensors -> its bytes, {name: (type, the numbers)}"""
    source = np.random.default_rng(7)
    header, data, tensors = {"__metadata__": {"format": "pt", "note": note}}, b"", {}
    for name, (dtype, shape) in SHAPES_07.items():
        # few bits, so that both types hold these numbers exactly, and too small for a float16
        counted = source.permutation(np.arange(1, 1 + np.prod(shape)))  # no number twice
        numbers = counted * source.choice([-1, 1]) * 2.0**-40
        numbers = numbers.astype(np.float32).reshape(shape)
        raw = _bytes(numbers, dtype)
        place = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": place}
        tensors[name], data = (dtype, numbers), data + raw
    text = json.dumps(dict(sorted(header.items()))).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data, tensors


def _bytes(numbers, dtype: str) -> bytes:
    if dtype == "F32":
        return numbers.astype("<f4").tobytes()
    return (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()


def _numbers(raw: bytes, dtype: str):
    if dtype == "F32":
        return np.frombuffer(raw, "<f4")
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
