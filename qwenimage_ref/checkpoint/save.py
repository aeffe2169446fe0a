"""A network written in the official directory layout, all of it or nothing."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from torch import nn

from ..files import CheckpointError, interrupts_wait, partial_file, whole_file
from .shards import SHARD_BYTES, cut, index_json, shard_name
from .stored_form import stored_form, stored_tensor
from .write import save_file


def save(
    module: nn.Module,
    folder,
    stem: str = "diffusion_pytorch_model",
    dtype=None,
    read: Callable = stored_tensor,
) -> None:
    """Write a module's stored form as official .safetensors, sharded with an index above 5 GB.

    All files take their names together once every one is written; files of an earlier save that
    had other shards are removed then. transformers' models use the stem "model". read: from module,
    key and dtype to the tensor, where the module does not hold all of it. Raises CheckpointError
    where the folder cannot be written; what stood there before is then untouched.
    """
    folder = Path(folder)
    shards = cut(module, SHARD_BYTES, dtype)
    names = [shard_name(stem, number, len(shards)) for number in range(1, len(shards) + 1)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            partials = {name: stack.enter_context(partial_file(folder / name)) for name in names}
            for name, keys in zip(names, shards):
                tensors = {key: read(module, key, dtype) for key in keys}
                save_file(tensors, partials[name], metadata={"format": "pt"})
            if len(shards) > 1:
                name = f"{stem}.safetensors.index.json"
                partials[name] = stack.enter_context(partial_file(folder / name))
                partials[name].write_bytes(index_json(module, SHARD_BYTES, stem, dtype))
            with interrupts_wait():
                _put_in_place(folder, stem, partials)
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {folder}: {error}; make room there or choose another folder"
        ) from None


def save_single(module: nn.Module, file, dtype=None) -> None:
    """Write a module's stored form as one .safetensors file, whole or not at all

    Raises CheckpointError where it cannot be written.
    """
    file = Path(file)
    tensors = {key: stored_tensor(module, key, dtype) for key in stored_form(module)}
    try:
        with whole_file(file) as partial:
            save_file(tensors, partial, metadata={"format": "pt"})
    except OSError as error:
        raise CheckpointError(
            f"cannot write {file}: {error}; make room there or choose another folder"
        ) from None


def _put_in_place(folder: Path, stem: str, partials: dict[str, Path]) -> None:
    # careful: the index goes first and comes last, because shards without one are refused; even
    # old shards and new ones never pass for one checkpoint, even if a kill comes in between
    (folder / f"{stem}.safetensors.index.json").unlink(missing_ok=True)
    for name, partial in partials.items():
        os.replace(partial, folder / name)
    earlier = re.compile(re.escape(stem) + r"(-\d{5}-of-\d{5})?\.safetensors")
    for path in folder.iterdir():
        if earlier.fullmatch(path.name) and path.name not in partials:
            path.unlink()
