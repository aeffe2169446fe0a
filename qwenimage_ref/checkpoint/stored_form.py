"""What a network's official files hold, told without any weights.

A network computes with the tensors it needs and declares what the official file stores: a
submodule with a method `stored()` names its stored shapes (the VAE's 3-D convolutions, of which
one frame uses a slice); every other parameter is stored as it is.
"""

import hashlib
import json
import math

import torch
from torch import nn

from ..files import shorten

SHARD_BYTES = 5_000_000_000  # the releases of 2025-08 and 2512; later ones use 10 GB
SPELLED = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}  # in a header


def stored_form(module: nn.Module) -> dict[str, tuple]:
    """Module -> {official key: stored shape}, in upstream's order of registration"""
    form = {}
    for path, child in module.named_modules():
        own = {name: tuple(p.shape) for name, p in child.named_parameters(recurse=False)}
        declared = child.stored() if hasattr(child, "stored") else own
        form |= {f"{path}.{name}" if path else name: shape for name, shape in declared.items()}
    return form


def stored_tensor(module: nn.Module, key: str, dtype=None) -> torch.Tensor:
    """One tensor as the file holds it; zeros where the module keeps none."""
    path, _, name = key.rpartition(".")
    owner = module.get_submodule(path)
    if name not in owner._parameters:
        tensor = torch.zeros(owner.stored()[name], dtype=next(module.parameters()).dtype)
    else:
        tensor = owner._parameters[name].detach().cpu()
        tensor = owner.to_stored(name, tensor) if hasattr(owner, "to_stored") else tensor
    return tensor.to(dtype or tensor.dtype).contiguous()


def other_keys(form: dict, where: dict) -> list[str]:
    """What a module stores, what files hold -> in one line how the keys differ, or nothing"""
    missing, extra = sorted(form.keys() - where.keys()), sorted(where.keys() - form.keys())
    parts = [f"{len(missing)} tensors are missing ({shorten(missing)})"] if missing else []
    parts += [f"{len(extra)} are not known ({shorten(extra)})"] if extra else []
    return [f"{' and '.join(parts)}; are these files of another network?"] if parts else []


def other_forms(form: dict, where: dict) -> list[str]:
    """The same for shapes and types of the keys that are there: at most a line for each"""
    places = {key: where[key] for key in form if key in where}
    shapes = [
        f"{key} is {list(place.shape)} instead of {list(form[key])}"
        for key, place in places.items()
        if place.shape != form[key]
    ]
    types = [
        f"{key} holds {place.dtype}"
        for key, place in places.items()
        if place.dtype not in SPELLED.values()
    ]
    lines = [f"wrong shapes: {shorten(shapes)}; does config.json belong to them?"] if shapes else []
    return lines + ([f"{shorten(types)}; needed is bfloat16, float16 or float32"] if types else [])


def fingerprint(module: nn.Module) -> str:
    """-> md5 over the sorted stored keys, with and without shapes (the hash that DiffSynth uses)"""
    form = stored_form(module)
    names = sorted(
        part for key, shape in form.items() for part in (f"{key}:{'_'.join(map(str, shape))}", key)
    )
    return hashlib.md5(",".join(names).encode()).hexdigest()


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
        places, end = {}, 0
        for key in sorted(keys):  # safetensors sorts by type, then by name; here is one type
            start, end = end, end + dtype.itemsize * math.prod(form[key])
            places[key] = (start, end)
        header = {"__metadata__": {"format": "pt"}} | {
            key: {"dtype": SPELLED[dtype], "shape": form[key], "data_offsets": place}
            for key, place in places.items()
        }
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)  # the first tensor begins at a multiple of eight
        begin = 8 + len(text)
        layout[shard_name(stem, number, len(shards))] = (
            len(text).to_bytes(8, "little") + text,
            {key: (begin + start, begin + stop) for key, (start, stop) in places.items()},
        )
    return layout


def shard_name(stem: str, number: int, count: int) -> str:
    if count == 1:
        return f"{stem}.safetensors"
    return f"{stem}-{number:05d}-of-{count:05d}.safetensors"


def _element_bytes(module: nn.Module, dtype) -> int:
    return torch.empty(0, dtype=dtype or next(module.parameters()).dtype).element_size()
