"""The official directory layout: strict loading, saving, structural fingerprints.

A network computes with the tensors it needs and declares what the official file stores: a
submodule with a method `stored()` names its stored shapes (the VAE's 3-D convolutions, of which
one frame uses a slice); every other parameter is stored as it is.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

SHARD_BYTES = 5_000_000_000  # the releases of 2025-08 and 2512; later ones use 10 GB


PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class CheckpointError(ValueError):
    """Files that do not hold what the network needs."""


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
    state, wrong = {}, []
    with contextlib.ExitStack() as stack:
        files = {file: stack.enter_context(_open(file)) for file in sorted(set(where.values()))}
        for key, shape in wanted.items():
            file = where[key]
            stored = tuple(files[file].get_slice(key).get_shape())
            if stored != shape:
                wrong.append(f"{key} is {list(stored)} instead of {list(shape)}")
                continue
            path, _, name = key.rpartition(".")
            owner = owners[path]
            if name not in owner._parameters:
                continue  # stored for other libraries only: the VAE's convolutions over time
            tensor = files[file].get_tensor(key)
            if not tensor.is_floating_point():
                raise CheckpointError(f"{file.name}: {key} holds {tensor.dtype}, not floats")
            if not torch.isfinite(tensor).all():
                raise CheckpointError(
                    f"{file}: {key} holds NaN or infinity; the file is damaged, fetch it again"
                )
            if hasattr(owner, "from_stored"):
                tensor = owner.from_stored(name, tensor)
            state[key] = tensor.to(dtype or tensor.dtype, copy=True).contiguous()
    if wrong:
        raise CheckpointError(f"{_name(source)}: wrong shapes: {_shorten(wrong)}")
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
                    raise CheckpointError(f"{key} is in {where[key].name} and in {file.name}")
                where[key] = file
    return where


def _read_index(index: Path) -> dict[str, Path]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = set(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{index} is not an index file; fetch it again") from None
    for name in sorted(names, key=str):
        if not isinstance(name, str) or Path(name).name != name:
            raise CheckpointError(f"{index}: {name!r} is not a file name in this folder")
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
            raise CheckpointError(f"{name} lacks {_shorten(lost)}, which {index.name} promises")
    return {key: index.parent / name for key, name in weight_map.items()}


def _open(file: Path):
    """Open one .safetensors file, or say in one line why not."""
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
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
        raise CheckpointError(f"{_name(source)}: {' and '.join(parts)}")


def _name(source) -> str:
    return str(source) if isinstance(source, (str, Path)) else _shorten([str(s) for s in source])


def _shorten(items, most: int = 3) -> str:
    items = list(items)
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


# --- saving


def save(module: nn.Module, folder, stem: str = "diffusion_pytorch_model", dtype=None) -> None:
    """Write a module's stored form as official .safetensors, sharded with an index above 5 GB.

    Each file appears whole or not at all. transformers' models use the stem "model".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(module, SHARD_BYTES, dtype)
    for number, keys in enumerate(shards, 1):
        tensors = {key: _stored_tensor(module, key, dtype) for key in keys}
        with whole_file(folder / _shard_name(stem, number, len(shards))) as partial:
            save_file(tensors, partial, metadata={"format": "pt"})
    if len(shards) > 1:
        with whole_file(folder / f"{stem}.safetensors.index.json") as partial:
            partial.write_bytes(index_json(module, SHARD_BYTES, stem, dtype))


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


def _stored_tensor(module: nn.Module, key: str, dtype) -> torch.Tensor:
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
    numbers = [_count(shape) for shape in form.values()]
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
        needed = size * _count(shape)
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


def _count(shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
