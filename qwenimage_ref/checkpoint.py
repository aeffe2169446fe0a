"""The official directory layout: strict loading and saving.

What the files hold, tensor by tensor, is told by structure.py; how a file is found and read, by
files.py.
"""

import contextlib
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from .files import CheckpointError, find_tensors, open_file, shorten, whole_file
from .structure import (
    SHARD_BYTES,
    cut,
    fingerprint,
    index_json,
    shard_name,
    stored_form,
    stored_tensor,
)

__all__ = ["CheckpointError", "fingerprint", "index_json", "load_into", "save"]

FLOATS = ("BF16", "F16", "F32")  # the types that a file may hold, as its header spells them


# --- loading


def load_into(module: nn.Module, source, dtype: torch.dtype | None = None, unused=()) -> None:
    """Fill a module, on the meta device or not, from a folder or from a list of .safetensors files.

    Strict: every stored key must be there with its shape, and no other, except below the prefixes
    in `unused`, which are left on disk on purpose. Files may be bf16, fp16 or fp32; `dtype` None
    keeps what they hold. Raises CheckpointError; the module is then unchanged.
    """
    where = find_tensors(source)
    wanted = stored_form(module)
    found = {key for key in where if not key.startswith(tuple(unused))}
    _demand_same_keys(wanted.keys(), found, source)
    owners = dict(module.named_modules())
    state = {}
    with contextlib.ExitStack() as stack:
        # headers first: a wrong shape is told before gigabytes are read
        _demand_form(wanted, where, source)
        used = sorted({where[key].file for key in wanted})
        files = {file: stack.enter_context(open_file(file)) for file in used}
        for key in wanted:
            path, _, name = key.rpartition(".")
            owner = owners[path]
            if name not in owner._parameters:
                continue  # stored for other libraries only: the VAE's convolutions over time
            file = where[key].file
            tensor = files[file].get_tensor(key)
            if not torch.isfinite(tensor).all():
                raise CheckpointError(
                    f"{file}: {key} holds NaN or infinity; the file is damaged, fetch it again"
                )
            if hasattr(owner, "from_stored"):
                tensor = owner.from_stored(name, tensor)
            state[key] = tensor.to(dtype or tensor.dtype, copy=True).contiguous()
            if dtype == torch.float16 and not torch.isfinite(state[key]).all():
                raise CheckpointError(
                    f"{file}: {key} is too large for float16 (65504); use bfloat16"
                )
    module.load_state_dict(state, strict=True, assign=True)


def _demand_same_keys(wanted, found, source) -> None:
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        parts = [f"{len(missing)} tensors are missing ({shorten(missing)})"] if missing else []
        parts += [f"{len(extra)} are not known ({shorten(extra)})"] if extra else []
        raise CheckpointError(
            f"{_name(source)}: {' and '.join(parts)}; are these files of another network?"
        )


def _demand_form(wanted, where, source) -> None:
    wrong = [
        f"{key} is {list(where[key].shape)} instead of {list(shape)}"
        for key, shape in wanted.items()
        if where[key].shape != shape
    ]
    if wrong:
        raise CheckpointError(
            f"{_name(source)}: wrong shapes: {shorten(wrong)}; does config.json belong to them?"
        )
    types = {key: where[key].dtype for key in wanted}
    if other := [f"{key} holds {name}" for key, name in types.items() if name not in FLOATS]:
        raise CheckpointError(
            f"{_name(source)}: {shorten(other)}; needed is bfloat16, float16 or float32"
        )


def _name(source) -> str:
    single = isinstance(source, (str, Path))
    return str(source) if single else shorten(Path(file).name for file in source)


# --- saving


def save(module: nn.Module, folder, stem: str = "diffusion_pytorch_model", dtype=None) -> None:
    """Write a module's stored form as official .safetensors, sharded with an index above 5 GB.

    All files take their names together once every one is written; files of an earlier save that
    had other shards are removed then. transformers' models use the stem "model". Raises
    CheckpointError where the folder cannot be written; what stood there before is then untouched.
    """
    folder = Path(folder)
    shards = cut(module, SHARD_BYTES, dtype)
    names = [shard_name(stem, number, len(shards)) for number in range(1, len(shards) + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            for name, keys in zip(names, shards):
                tensors = {key: stored_tensor(module, key, dtype) for key in keys}
                partial = stack.enter_context(whole_file(folder / name))
                save_file(tensors, partial, metadata={"format": "pt"})
            if len(shards) > 1:
                names.append(f"{stem}.safetensors.index.json")
                partial = stack.enter_context(whole_file(folder / names[-1]))
                partial.write_bytes(index_json(module, SHARD_BYTES, stem, dtype))
        earlier = re.compile(re.escape(stem) + r"(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?")
        for path in folder.iterdir():
            if earlier.fullmatch(path.name) and path.name not in names:
                path.unlink()
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write to {folder}: {error}") from None
