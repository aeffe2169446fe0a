"""The stored form of a network: names and shapes of its official files, without any weights.

A network computes with the tensors it needs and declares what the official file stores: a
submodule with a method `stored()` names its stored shapes (the VAE's 3-D convolutions, of which
one frame uses a slice); every other parameter is stored as it is.
"""

import hashlib

import torch
from torch import nn

from ..files import shorten

FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}  # header names


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


def other_forms(form: dict, where: dict, types=FLOATS) -> list[str]:
    """The same for shapes and types of the keys that are there: at most a line for each"""
    places = {key: where[key] for key in form if key in where}
    shapes = [
        f"{key} is {list(place.shape)} instead of {list(form[key])}"
        for key, place in places.items()
        if place.shape != form[key]
    ]
    types = [
        f"{key} holds {place.dtype}" for key, place in places.items() if place.dtype not in types
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
