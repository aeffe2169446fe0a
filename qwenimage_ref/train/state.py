"""Tensors of a training run as .safetensors files, checked to the last byte before their use."""

import dataclasses
import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..checkpoint.write import save_file
from ..files import shorten
from .run_folder import RunError, RunFolder

CHECKSUM = "sha256"  # key in the file's metadata
ANEW = "remove it to begin anew"


def write_tensors(
    folder: RunFolder, file: Path, tensors: dict[str, torch.Tensor], terms: dict[str, str]
) -> None:
    """Write a file whole: a kill or a full disk leaves what stood there before. Raises RunError.

    terms: short texts, kept beside the tensors.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with folder.whole_file(file) as partial:
        save_file(tensors, partial, metadata=terms | {CHECKSUM: checksum(tensors)})


def read_tensors(file: Path, remedy: str = ANEW) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """-> tensors and terms. Raises RunError, which ends in the remedy, for a damaged file."""
    try:
        if not file.is_file():
            raise OSError("it is not a regular file")
        with safe_open(file, framework="pt") as opened:
            terms = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise damaged(file, str(error), remedy) from None
    if terms.pop(CHECKSUM, None) != checksum(tensors):
        raise damaged(file, "its checksum does not fit", remedy)
    return tensors, terms


def read_state(file: Path, terms: dict[str, str]) -> dict[str, torch.Tensor]:
    """-> the tensors of a state. Raises RunError for a damaged file and for one of other terms."""
    tensors, stored = read_tensors(file)
    demand_terms(file, stored, terms)
    return tensors


def demand_terms(file: Path, stored: dict[str, str], terms: dict[str, str]) -> None:
    """Raises RunError for a state of another recipe, other settings or other data."""
    if stored != terms:
        chosen = ("recipe", "settings")
        known = isinstance(stored, dict)  # an index from elsewhere may hold anything
        if known and all(stored.get(key) == terms.get(key) for key in chosen):
            reason = "on other data, or on other weights"
        else:
            reason = f"by another recipe{_difference(stored, terms)}, or on other data"
        raise RunError(f"{file} was trained {reason}; use another folder, or remove this one")


def _difference(stored: dict[str, str], terms: dict[str, str]) -> str:
    """What recipe and settings of a state differ in, in brackets, as far as that can be read."""
    differing = []
    for key in ("recipe", "settings"):
        try:
            there, here = json.loads(stored.get(key, "{}")), json.loads(terms.get(key, "{}"))
            names = [name for name in here if there.get(name) != here[name]]
        except (ValueError, AttributeError, RecursionError):
            continue
        differing += [f"{name} {there.get(name)} there, {here[name]} here" for name in names]
    return f" ({shorten(differing)})" if differing else ""


def demand_like(file: Path, tensors: dict, wanted: dict[str, torch.Tensor]) -> None:
    """Raises RunError unless keys, shapes and types are the wanted ones, and all is finite."""
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise damaged(file, f"it lacks {shorten(missing)}")
    if extra := sorted(tensors.keys() - wanted.keys()):
        raise damaged(file, f"it holds {shorten(extra)}, which nothing asks for")
    for key, like in wanted.items():
        tensor = tensors[key]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise damaged(
                file, f"{key} must be {tuple(like.shape)} {like.dtype}, "
                f"got {tuple(tensor.shape)} {tensor.dtype}"
            )  # fmt: skip
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise damaged(file, f"{key} holds NaN or infinity")


def damaged(file: Path, reason: str, remedy: str = ANEW) -> RunError:
    return RunError(f"{file} is damaged ({shorten([' '.join(reason.split())])}); {remedy}")


def checksum(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 of all names, types, shapes and numbers."""
    total = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def digest(module: nn.Module) -> str:
    """Twelve digits that change with the weights and, where there is one, the config."""
    total = hashlib.sha256(repr(getattr(module, "config", "")).encode())
    for parameter in module.parameters():
        total.update(parameter.detach().contiguous().numpy().tobytes())
    return total.hexdigest()[:12]


def digest_of(*values) -> str:
    """Twelve digits that change with any tensor, number or text, and with their order

    Lists, tuples and dataclasses count by what is in them.
    """
    total = hashlib.sha256()
    _add(total, values)
    return total.hexdigest()[:12]


def _add(total, value) -> None:
    if isinstance(value, torch.Tensor):
        total.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, (list, tuple)):
        total.update(f"list of {len(value)} ".encode())
        for each in value:
            _add(total, each)
    else:
        total.update(f"{value!r} ".encode())
