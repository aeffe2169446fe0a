"""The official directory layout: strict loading and saving.

What the files hold, tensor by tensor, is told by stored_form.py; how a file is found and read, by
files.py.
"""

import contextlib
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from ..files import CheckpointError, find_tensors, interrupts_wait, open_file, partial_file, shorten
from .stored_form import (
    SHARD_BYTES,
    cut,
    fingerprint,
    index_json,
    other_forms,
    other_keys,
    shard_name,
    stored_form,
    stored_tensor,
)
from .verify import verify

__all__ = ["CheckpointError", "fingerprint", "index_json", "load_into", "save", "verify"]

# --- loading


def load_into(
    module: nn.Module,
    source,
    dtype: torch.dtype | None = None,
    unused=(),
    names: dict[str, str] | None = None,
) -> None:
    """Fill a module, on the meta device or not, from a folder or from a list of .safetensors files.

    Strict: every stored key must be there with its shape, and no other, except below the prefixes
    in `unused`, which are left on disk on purpose. Files may be bf16, fp16 or fp32; `dtype` None
    keeps what they hold. names: {official key: key in the files}, for files that spell theirs
    otherwise. Raises CheckpointError; the module is then unchanged.
    """
    where = find_tensors(source)
    names = {key: key for key in where} if names is None else names
    where = {key: where[name] for key, name in names.items()}
    where = {key: place for key, place in where.items() if not key.startswith(tuple(unused))}
    wanted = stored_form(module)
    # headers first: a wrong shape is told before gigabytes are read
    for problem in [*other_keys(wanted, where), *other_forms(wanted, where)]:
        raise CheckpointError(f"{_name(source)}: {problem}")
    owners = dict(module.named_modules())
    state = {}
    with contextlib.ExitStack() as stack:
        used = sorted({where[key].file for key in wanted})
        files = {file: stack.enter_context(open_file(file)) for file in used}
        for key in wanted:
            path, _, name = key.rpartition(".")
            owner = owners[path]
            if name not in owner._parameters:
                continue  # stored for other libraries only: the VAE's convolutions over time
            file = where[key].file
            tensor = files[file].get_tensor(names[key])
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
            partials = {name: stack.enter_context(partial_file(folder / name)) for name in names}
            for name, keys in zip(names, shards):
                tensors = {key: stored_tensor(module, key, dtype) for key in keys}
                save_file(tensors, partials[name], metadata={"format": "pt"})
            if len(shards) > 1:
                name = f"{stem}.safetensors.index.json"
                partials[name] = stack.enter_context(partial_file(folder / name))
                partials[name].write_bytes(index_json(module, SHARD_BYTES, stem, dtype))
            with interrupts_wait():
                _put_in_place(folder, stem, partials)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write to {folder}: {error}; make room there or choose another folder"
        ) from None


def _put_in_place(folder: Path, stem: str, partials: dict[str, Path]) -> None:
    # careful: the index goes first and comes last, because shards without one are refused; even
    # if this process is killed in between, old shards and new ones never pass for one checkpoint
    (folder / f"{stem}.safetensors.index.json").unlink(missing_ok=True)
    for name, partial in partials.items():
        os.replace(partial, folder / name)
    earlier = re.compile(re.escape(stem) + r"(-\d{5}-of-\d{5})?\.safetensors")
    for path in folder.iterdir():
        if earlier.fullmatch(path.name) and path.name not in partials:
            path.unlink()
