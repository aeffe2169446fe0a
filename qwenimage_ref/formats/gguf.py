"""GGUF files of the MMDiT: loaded packed or streamed, and written.

Names are the official ones. Only the linear layers of blocks are quantised; they stay packed, as
the file holds them, and are decoded when used. gguf_container.py has the format of the files,
gguf_blocks.py the blocks of bytes in them.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ..adapt.lora import adapters
from ..checkpoint.fill import Weights
from ..checkpoint.headers import Place, read_tensor
from ..checkpoint.packed_linear import BLOCKS, PackedLinear
from ..checkpoint.stored_form import stored_form
from ..files import CheckpointError, shorten, whole_file
from ..mmdit import MMDiT
from . import ZERO_COND_T
from .gguf_blocks import CHUNK, LAYOUTS, PLAIN, decode, encode, row_bytes, scales
from .gguf_container import ARCHITECTURE, GGUF, ZERO_COND, GGUFPlan, plan_file

FILE_TYPES = {"Q8_0": 7, "Q4_0": 2}  # llama.cpp's numbers for the kinds that are written here


# --- loading


class GGUFLinear(PackedLinear):
    """(..., in) -> (..., out), as nn.Linear; the weight stays as the file holds it, row by row."""

    def __init__(self, weight: torch.Tensor, kind: str, bias: nn.Parameter | None):
        blocks = weight.shape[1] // LAYOUTS[kind].bytes
        super().__init__(blocks * LAYOUTS[kind].values, len(weight), bias)
        self.weight, self.kind = nn.Parameter(weight, requires_grad=False), kind

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        return decode(self.weight, self.kind, dtype)

    def stored(self) -> dict:
        """What the official files hold: the model is saved as what it computes with, decoded."""
        vector = {} if self.bias is None else {"bias": tuple(self.bias.shape)}
        return {"weight": (self.out_features, self.in_features)} | vector

    def to_stored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        return decode(tensor, self.kind, dtype) if name == "weight" else tensor

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.kind}"


@dataclass
class GGUFWeights(Weights):
    """A .gguf file: quantised linear layers of blocks stay as they are, the rest is decoded."""

    types: ClassVar = LAYOUTS

    @property
    def kinds(self) -> dict[str, int]:
        """{kind: how many tensors are of it}, the most frequent first"""
        return dict(Counter(place.dtype for place in self.places.values()).most_common())

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        return f"{self.source}: GGUF, {kinds}; {len(self.packed)} linear layers stay packed"

    def numbers(self, name: str) -> torch.Tensor:
        place = self.places[name]
        return read_tensor(place) if place.dtype in PLAIN else decode(self.rows(name), place.dtype)

    def rows(self, name: str) -> torch.Tensor:
        """The blocks of a quantised tensor, row by row. Raises CheckpointError for bad scales."""
        place = self.places[name]
        rows = read_tensor(as_rows(place))
        if not torch.isfinite(scales(rows, place.dtype)).all():
            raise CheckpointError(f"{place.file}: {name} has scales that are NaN or infinity")
        return rows

    def scaled(self, name: str) -> bool:
        return (
            self.places[name].dtype not in PLAIN and name.removesuffix(".weight") not in self.packed
        )

    def layer(self, name: str, linear: nn.Linear) -> GGUFLinear:
        rows = torch.empty(self.packed[name]["weight"].shape, dtype=torch.uint8, device="meta")
        return GGUFLinear(rows, self.places[f"{name}.weight"].dtype, linear.bias)

    def packed_tensors(self, name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return {"weight": self.rows(f"{name}.weight")}


def gguf_weights(
    source: str, header: GGUF, names: dict[str, str], network: nn.Module
) -> GGUFWeights:
    """A .gguf file -> where the tensors of a network lie. Raises CheckpointError, one line.

    names: {official name: name in the file}
    """
    # careful: converters leave it out or write names of their own; the tensors' names decide
    architecture = header.metadata.get("general.architecture", ARCHITECTURE)
    if architecture not in (ARCHITECTURE, "pig"):
        raise CheckpointError(
            f"{source}: its architecture must be {ARCHITECTURE}, got {shorten([architecture])}; "
            "choose a file of this model"
        )
    if (version := header.metadata.get("general.quantization_version", 2)) != 2:
        raise CheckpointError(
            f"{source}: its blocks must be of version 2, got {shorten([version])}; "
            "choose a file of this version"
        )
    places = {name: header.places[key] for name, key in names.items()}
    weights, modules = GGUFWeights(source, places, "GGUF"), dict(network.named_modules())
    for name, place in places.items():
        path, _, last = name.rpartition(".")
        if place.dtype in PLAIN or not name.startswith(BLOCKS) or path not in modules:
            continue
        if last != "weight" or not hasattr(modules[path], "in_features"):
            raise CheckpointError(
                f"{source}: {shorten([name])} is stored as {place.dtype}, but only weights of "
                "linear layers can be; fetch another file"
            )
        weights.packed[path] = {"weight": as_rows(place)}
    return weights


def as_rows(place: Place) -> Place:
    """The place of a tensor's bytes, row by row"""
    size = row_bytes(place.shape[-1], place.dtype)
    return replace(place, dtype="U8", shape=(*place.shape[:-1], size))


def _is_changed(mmdit: MMDiT) -> bool:
    """Whether its blocks are streamed or hold packed layers."""
    packed = any(isinstance(module, PackedLinear) for module in mmdit.modules())
    return packed or not isinstance(mmdit.transformer_blocks, nn.ModuleList)


# --- writing


def plan_gguf(mmdit: MMDiT, kind: str = "Q8_0", file: str | Path = "mmdit.gguf") -> GGUFPlan:
    """The file that save_gguf would write, of an MMDiT with weights or on the meta device.

    As in the files that are published: linear weights of blocks in blocks of this kind, the few
    other matrices in bfloat16, vectors in float32. Raises CheckpointError.
    """
    if kind not in FILE_TYPES:
        raise CheckpointError(f"kind must be one of {', '.join(FILE_TYPES)}, got {kind}")
    if _is_changed(mmdit):
        raise CheckpointError("the model is streamed or quantised; save it from its full weights")
    tensors = {}
    for name, shape in stored_form(mmdit).items():
        matrix = kind if name.startswith(BLOCKS) else "BF16"
        tensors[name] = (shape, matrix if len(shape) > 1 else "F32")
    metadata = {
        "general.architecture": ARCHITECTURE,
        "general.quantization_version": 2,
        "general.file_type": FILE_TYPES[kind],
    }
    if mmdit.config.zero_cond_t:
        metadata[ZERO_COND] = True
        tensors[ZERO_COND_T] = ((1,), "F32")  # the mark by which ComfyUI knows it
    try:
        return plan_file(Path(file), metadata, tensors)
    except ValueError as error:
        raise CheckpointError(f"{error}; {kind} does not fit this model") from None


@torch.no_grad()
def save_gguf(mmdit: MMDiT, file: str | Path, kind: str = "Q8_0") -> GGUFPlan:
    """Write the MMDiT as a .gguf file in the layout of the published ones, whole or not at all.

    kind: Q8_0 or Q4_0. Returns what was written. Raises CheckpointError.
    """
    file = Path(file)
    if file.suffix != ".gguf":
        raise CheckpointError(f"{file} must end in .gguf")
    if any(not adapter.merged for adapter in adapters(mmdit)):
        raise CheckpointError("a LoRA hangs on the model; merge it or take it off before saving")
    plan = plan_gguf(mmdit, kind, file)
    try:
        with whole_file(file) as partial, partial.open("wb") as out:
            out.write(plan.header)
            for name, place in plan.places.items():
                out.write(bytes(place.start - out.tell()))
                weight = torch.zeros(1) if name == ZERO_COND_T else mmdit.get_parameter(name)
                rows = max(1, CHUNK // math.prod(place.shape[1:]))
                for part in weight.split(rows):
                    out.write(_encoded(name, part, place.dtype).numpy().tobytes())
            out.write(bytes(plan.size - out.tell()))
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {file}: {error}; make room there or choose another folder"
        ) from None
    return plan


def _encoded(name: str, part: torch.Tensor, kind: str) -> torch.Tensor:
    if part.is_meta:
        raise CheckpointError(f"{name} has no weights yet; load the model first")
    try:
        return encode(part, kind).cpu()
    except ValueError as error:
        raise CheckpointError(f"{name} cannot be stored as {kind}: {error}") from None
