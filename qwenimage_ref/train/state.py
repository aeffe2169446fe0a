"""A training state as one .safetensors file, of which everything is checked before it is used."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..files import shorten
from .run_folder import RunError, RunFolder

CHECKSUM = "sha256"  # its key in the file's metadata


def write_state(folder: RunFolder, tensors: dict[str, torch.Tensor], terms: dict[str, str]) -> None:
    """Write the state whole: a kill or a full disk leaves the previous one in place.

    terms: what a run must have in common with this one to continue it.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with folder.whole_file(folder.state) as partial:
        save_file(tensors, partial, metadata=terms | {CHECKSUM: checksum(tensors)})


def read_state(file: Path, terms: dict[str, str]) -> dict[str, torch.Tensor]:
    """-> the tensors of a state. Raises RunError for a damaged file and for one of other terms."""
    try:
        if not file.is_file():
            raise OSError("it is not a regular file")
        with safe_open(file, framework="pt") as opened:
            stored = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise damaged(file, str(error)) from None
    if stored.pop(CHECKSUM, None) != checksum(tensors):
        raise damaged(file, "its checksum does not fit")
    if stored != terms:
        raise RunError(
            f"{file} was trained by another recipe, or on other data; "
            "use another folder, or remove this one"
        )
    return tensors


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


def damaged(file: Path, reason: str) -> RunError:
    reason = shorten([" ".join(reason.split())])
    return RunError(f"{file} is damaged ({reason}); remove it to begin anew")


def checksum(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 of all names, types, shapes and numbers."""
    total = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        total.update(f"{key} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
