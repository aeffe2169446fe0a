"""The official directory layout: strict loading, saving, structural fingerprints.

A network computes with the tensors it needs and declares what the official file stores: a
submodule with a method `stored()` names its stored shapes (the VAE's 3-D convolutions, of which
one frame uses a slice); every other parameter is stored as it is.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

SHARD_BYTES = 5_000_000_000  # the releases of 2025-08 and 2512; later ones use 10 GB
FLOATS = ("BF16", "F16", "F32")  # the types that a file may hold, as its header spells them
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class CheckpointError(ValueError):
    """Files that do not hold what the network needs, or that cannot be written."""


def stored_form(module: nn.Module) -> dict[str, tuple]:
    """Module -> {official key: stored shape}, in upstream's order of registration"""
    form = {}
    for path, child in module.named_modules():
        own = {name: tuple(p.shape) for name, p in child.named_parameters(recurse=False)}
        declared = child.stored() if hasattr(child, "stored") else own
        form |= {f"{path}.{name}" if path else name: shape for name, shape in declared.items()}
    return form


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
        files = {file: stack.enter_context(_open(file)) for file in sorted(set(where.values()))}
        # headers first: a wrong shape is told before gigabytes are read
        _demand_form(wanted, {key: files[where[key]].get_slice(key) for key in wanted}, source)
        for key in wanted:
            path, _, name = key.rpartition(".")
            owner = owners[path]
            if name not in owner._parameters:
                continue  # stored for other libraries only: the VAE's convolutions over time
            tensor = files[where[key]].get_tensor(key)
            if not torch.isfinite(tensor).all():
                raise CheckpointError(
                    f"{where[key]}: {key} holds NaN or infinity; the file is damaged, "
                    "fetch it again"
                )
            if hasattr(owner, "from_stored"):
                tensor = owner.from_stored(name, tensor)
            state[key] = tensor.to(dtype or tensor.dtype, copy=True).contiguous()
            if dtype == torch.float16 and not torch.isfinite(state[key]).all():
                raise CheckpointError(
                    f"{where[key]}: {key} is too large for float16 (65504); use bfloat16"
                )
    module.load_state_dict(state, strict=True, assign=True)


def find_tensors(source) -> dict[str, Path]:
    """A folder (index or single file) or list of files -> {key: file that holds it}

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
                    f"{folder} holds only {_shorten(others)}: pickle files can run any code and "
                    "are never opened; convert them to .safetensors"
                )
            raise CheckpointError(f"{folder} holds no .safetensors file; is it downloaded?")
    else:
        files = [Path(f) for f in ([source] if isinstance(source, (str, Path)) else source)]
    where = {}
    for file in files:
        with _open(file) as handle:
            for key in handle.keys():
                if key in where:
                    raise CheckpointError(
                        f"{_shorten([key])} is in {where[key].name} and in {file.name}; "
                        "keep the one that belongs here"
                    )
                where[key] = file
    return where


def _read_index(index: Path) -> dict[str, Path]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = set(weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{index} is not an index file; fetch it again") from None
    for name in sorted(names, key=str):
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise CheckpointError(
                f"{index}: {_shorten([name])} is not a .safetensors file of this folder; "
                "fetch the index again"
            )
    missing = sorted(name for name in names if not (index.parent / name).is_file())
    if missing:
        raise CheckpointError(
            f"{index.parent}: {len(missing)} of {len(names)} shards are missing: "
            f"{_shorten(missing)}; finish the download"
        )
    for name in names:
        with _open(index.parent / name) as handle:
            held = set(handle.keys())
        promised = {key for key, file in weight_map.items() if file == name}
        if lost := sorted(promised - held):
            raise CheckpointError(
                f"{index.parent / name} lacks {_shorten(lost)}, which {index.name} promises; "
                "fetch both again"
            )
        if extra := sorted(held - promised):
            raise CheckpointError(
                f"{index.parent / name} holds {_shorten(extra)}, which {index.name} does not "
                "place there; fetch both again"
            )
    return {key: index.parent / name for key, name in weight_map.items()}


def _open(file: Path):
    """Open one .safetensors file, or say in one line why not."""
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; is it downloaded?")
    if file.suffix != ".safetensors":
        raise CheckpointError(
            f"{file} is not a .safetensors file; pickle files can run any code and are never opened"
        )
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is cut short or damaged ({error}); fetch it again") from None


def _demand_same_keys(wanted, found, source) -> None:
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        parts = [f"{len(missing)} tensors are missing ({_shorten(missing)})"] if missing else []
        parts += [f"{len(extra)} are not known ({_shorten(extra)})"] if extra else []
        raise CheckpointError(
            f"{_name(source)}: {' and '.join(parts)}; are these files of another network?"
        )


def _demand_form(wanted, headers, source) -> None:
    shapes = {key: tuple(header.get_shape()) for key, header in headers.items()}
    wrong = [
        f"{key} is {list(shapes[key])} instead of {list(shape)}"
        for key, shape in wanted.items()
        if shapes[key] != shape
    ]
    if wrong:
        raise CheckpointError(
            f"{_name(source)}: wrong shapes: {_shorten(wrong)}; does config.json belong to them?"
        )
    types = {key: header.get_dtype() for key, header in headers.items()}
    if other := [f"{key} holds {name}" for key, name in types.items() if name not in FLOATS]:
        raise CheckpointError(
            f"{_name(source)}: {_shorten(other)}; needed is bfloat16, float16 or float32"
        )


def _name(source) -> str:
    single = isinstance(source, (str, Path))
    return str(source) if single else _shorten(Path(file).name for file in source)


def _shorten(items, most: int = 3) -> str:
    """The first few, each printable and of bounded length: a damaged file may name anything."""
    items = [item if item.isprintable() else repr(item) for item in map(str, items)]
    shown = [item if len(item) <= 100 else f"{item[:97]}..." for item in items[:most]]
    return ", ".join(shown) + (f" and {len(items) - most} more" if len(items) > most else "")


# --- saving


def save(module: nn.Module, folder, stem: str = "diffusion_pytorch_model", dtype=None) -> None:
    """Write a module's stored form as official .safetensors, sharded with an index above 5 GB.

    All files take their names together once every one is written; files of an earlier save that
    had other shards are removed then. transformers' models use the stem "model". Raises
    CheckpointError where the folder cannot be written; what stood there before is then untouched.
    """
    folder = Path(folder)
    shards = _shards(module, SHARD_BYTES, dtype)
    names = [_shard_name(stem, number, len(shards)) for number in range(1, len(shards) + 1)]
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


# --- what can be said of a structure without any weights


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
    shards = _shards(module, shard_bytes, dtype)
    form, size = stored_form(module), _element_bytes(module, dtype)
    numbers = [math.prod(shape) for shape in form.values()]
    metadata = {"total_size": size * sum(numbers)}
    if stem == "model":  # transformers writes this one, diffusers does not
        metadata["total_parameters"] = sum(numbers)
    weight_map = {
        key: _shard_name(stem, number, len(shards))
        for number, keys in enumerate(shards, 1)
        for key in keys
    }
    index = {"metadata": metadata, "weight_map": weight_map}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


def _shards(module: nn.Module, shard_bytes: int, dtype) -> list[list[str]]:
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


def _shard_name(stem: str, number: int, count: int) -> str:
    if count == 1:
        return f"{stem}.safetensors"
    return f"{stem}-{number:05d}-of-{count:05d}.safetensors"


def _element_bytes(module: nn.Module, dtype) -> int:
    return torch.empty(0, dtype=dtype or next(module.parameters()).dtype).element_size()
