"""Write .safetensors files: the bytes of the safetensors library, without a file of its own beside.

The library writes to a temporary file that stays behind when the process is killed, readable by its
owner alone, and puts metadata in random order. Here equal tensors give equal bytes.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch

# types in the order in which safetensors writes them; within a type, tensors go by name
SPELLED = {
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32",
    torch.bfloat16: "BF16", torch.float16: "F16", torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def save_file(tensors: dict[str, torch.Tensor], file, metadata: dict | None = None) -> None:
    """Write tensors to a file. Raises OSError, and TypeError for types that are not in SPELLED."""
    if other := [t.dtype for t in tensors.values() if t.dtype not in SPELLED]:
        raise TypeError(f"tensors must be of {', '.join(SPELLED.values())}, got {other[0]}")
    order = list(SPELLED)
    keys = sorted(tensors, key=lambda key: (order.index(tensors[key].dtype), key))
    entries = [(key, tensors[key].dtype, tuple(tensors[key].shape)) for key in keys]
    first, _ = header(entries, metadata)
    with Path(file).open("wb") as opened:
        opened.write(first)
        for key in keys:
            tensor = tensors[key].detach().cpu().contiguous()
            opened.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def header(
    entries: Iterable[tuple[str, torch.dtype, tuple]], metadata: dict[str, str] | None = None
) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """(key, type, shape) of each tensor in its order -> a file's first bytes, {key: (start, stop)}

    start and stop count bytes from the beginning of the file.
    """
    table, places, end = {}, {}, 0
    if metadata:
        table["__metadata__"] = dict(sorted(metadata.items()))
    for key, dtype, shape in entries:
        start, end = end, end + dtype.itemsize * math.prod(shape)
        places[key] = (start, end)
        table[key] = {"dtype": SPELLED[dtype], "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the first tensor begins at a multiple of eight
    begin = 8 + len(text)
    places = {key: (begin + start, begin + stop) for key, (start, stop) in places.items()}
    return len(text).to_bytes(8, "little") + text, places
