"""How a network is cut into the official shards: their names, index and headers."""

import json
import math

import torch
from torch import nn

from .stored_form import stored_form
from .write import header

SHARD_BYTES = 5_000_000_000  # the releases of 2025-08 and 2512; later ones use 10 GB


def index_json(
    module: nn.Module, shard_bytes: int, stem: str = "diffusion_pytorch_model", dtype=None
) -> bytes:
    """-> the official *.safetensors.index.json of this module, byte for byte"""
    shards = cut(module, shard_bytes, dtype)
    form, size = stored_form(module), _element_bytes(module, dtype)
    numbers = [math.prod(shape) for shape in form.values()]
    metadata = {"total_size": size * sum(numbers)}
    if stem == "model":  # transformers writes this one, diffusers does not
        metadata["total_parameters"] = sum(numbers)
    weight_map = {
        key: shard_name(stem, number, len(shards))
        for number, keys in enumerate(shards, 1)
        for key in keys
    }
    index = {"metadata": metadata, "weight_map": weight_map}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


def cut(module: nn.Module, shard_bytes: int, dtype) -> list[list[str]]:
    """Keys in order of registration, cut before the one that would overfill a file."""
    shards, filled, size = [[]], 0, _element_bytes(module, dtype)
    for key, shape in stored_form(module).items():
        needed = size * math.prod(shape)
        if shards[-1] and filled + needed > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(key)
        filled += needed
    return shards


def shard_layout(
    module: nn.Module, shard_bytes: int, stem: str = "diffusion_pytorch_model", dtype=None
) -> dict[str, tuple[bytes, dict[str, tuple[int, int]]]]:
    """-> {file name: (the file's first bytes, {key: (start, stop)})}, as safetensors writes it

    The first bytes are the length of the header and the header; start and stop count from the
    beginning of the file, in the order of the bytes, so the last stop is the file's size.
    """
    dtype = dtype or next(module.parameters()).dtype
    shards, form = cut(module, shard_bytes, dtype), stored_form(module)
    layout = {}
    for number, keys in enumerate(shards, 1):
        entries = [(key, dtype, form[key]) for key in sorted(keys)]
        layout[shard_name(stem, number, len(shards))] = header(entries, {"format": "pt"})
    return layout


def shard_name(stem: str, number: int, count: int) -> str:
    if count == 1:
        return f"{stem}.safetensors"
    return f"{stem}-{number:05d}-of-{count:05d}.safetensors"


def _element_bytes(module: nn.Module, dtype) -> int:
    return torch.empty(0, dtype=dtype or next(module.parameters()).dtype).element_size()
