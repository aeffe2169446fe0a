"""GGUF files of the MMDiT: loaded packed or streamed, and written.

Names are the official ones. Only the linear layers of blocks are quantised; they stay packed, as
the file holds them, and are decoded when used. gguf_container.py has the format of the files,
gguf_blocks.py the blocks of bytes in them.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..adapt.lora import adapters
from ..adapt.streaming import stream_mmdit
from ..checkpoint.packed_linear import PackedLinear, put, strip_prefix
from ..checkpoint.stored_form import other_forms, other_keys, stored_form
from ..files import CheckpointError, Place, shorten, whole_file
from ..mmdit import MMDiT
from .gguf_blocks import CHUNK, LAYOUTS, PLAIN, decode, encode, scales
from .gguf_container import GGUF, GGUFPlan, plan_file, read_gguf

ARCHITECTURE = "qwen_image"
BLOCKS = "transformer_blocks."
FILE_TYPES = {"Q8_0": 7, "Q4_0": 2}  # llama.cpp's numbers for the kinds that are written here
# of Edit-2511: the key is written here; other programs leave a tensor of this name
ZERO_COND, ZERO_COND_MARKER = f"{ARCHITECTURE}.zero_cond_t", "__index_timestep_zero__"


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

    def from_stored(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        raise CheckpointError("the model is quantised; load the files into a new one")

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, {self.kind}"


@dataclass(frozen=True)
class GGUFReport:
    """What was loaded."""

    source: str
    architecture: str
    kinds: dict[str, int]  # tensors of each
    bytes: int  # of all tensors
    packed: int  # linear layers that stay packed

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        unit, size = ("GiB", 2**30) if self.bytes >= 2**30 else ("MiB", 2**20)
        return (
            f"{self.source}: {self.architecture}, {kinds}, {self.bytes / size:.2f} {unit}; "
            f"{self.packed} linear layers stay packed"
        )


def load_gguf(
    mmdit: MMDiT, file: str | Path, dtype: torch.dtype, stream: bool = False, device="cpu"
) -> GGUFReport:
    """Fill an MMDiT, on the meta device or not, from a .gguf file; its blocks stay packed.

    dtype: of all that is not packed, and of what is computed. stream: the blocks stay on disk.
    Strict: every stored key must be there with its shape, and no other. Raises CheckpointError;
    the MMDiT is then unchanged.
    """
    if adapters(mmdit) or _is_changed(mmdit):
        raise CheckpointError(
            f"{file} is loaded into a new model, not into one that is streamed, quantised or "
            "has a LoRA; make one, then load the LoRA"
        )
    held = read_gguf(file)
    where = _fitting(mmdit, held, file)
    packed = _packed_layers(mmdit, where, file)
    state = {}
    for name, place in where.items():
        if not (stream and name.startswith(BLOCKS)):
            tensor = _tensor(name, held.rows(place), place, None if name in packed else dtype)
            state[name] = tensor.to(device)
    for name, (path, linear) in packed.items():
        place = where[name]
        rows = torch.empty_like(held.rows(place), device="meta")
        put(mmdit, path, GGUFLinear(rows, place.dtype, linear.bias))
        where[name] = replace(place, dtype="U8", shape=tuple(rows.shape))
    mmdit.load_state_dict(state, strict=not stream, assign=True)
    if stream:
        blocks = {name: place for name, place in where.items() if name.startswith(BLOCKS)}
        stream_mmdit(mmdit, Path(file), dtype, device, where=blocks)
    size = sum(place.stop - place.start for place in held.places.values())
    return GGUFReport(Path(file).name, ARCHITECTURE, held.kinds, size, len(packed))


def _fitting(mmdit: MMDiT, held: GGUF, file) -> dict[str, Place]:
    """{official name: place}, if the file is of this very network."""
    architecture = held.metadata.get("general.architecture", "none")
    if architecture != ARCHITECTURE:
        raise CheckpointError(
            f"{file}: its architecture is {shorten([architecture])}, not {ARCHITECTURE}; "
            "it is of another model"
        )
    if (version := held.metadata.get("general.quantization_version", 2)) != 2:
        raise CheckpointError(f"{file}: its blocks are of version {shorten([version])}, not 2")
    where = {name: held.places[key] for name, key in strip_prefix(held.places).items()}
    if len(where) != len(held.places):
        raise CheckpointError(f"{file} holds a tensor with a prefix and without; fetch it again")
    marked = where.pop(ZERO_COND_MARKER, None) is not None
    zero_cond = held.metadata.get(ZERO_COND, True if marked else mmdit.config.zero_cond_t)
    if zero_cond != mmdit.config.zero_cond_t:
        raise CheckpointError(
            f"{file}: zero_cond_t is {shorten([zero_cond])} there and "
            f"{mmdit.config.zero_cond_t} in config.json; take the config.json of the same model"
        )
    wanted = stored_form(mmdit)
    spelled = {name: replace(place, dtype="F32") for name, place in where.items()}  # all are read
    for problem in [*other_keys(wanted, where), *other_forms(wanted, spelled)]:
        raise CheckpointError(f"{file}: {problem}")
    return {name: where[name] for name in wanted}


def _packed_layers(mmdit: MMDiT, where: dict[str, Place], file) -> dict[str, tuple]:
    """{name of a quantised weight: (name of its linear layer, the layer)}, of all blocks.

    The few outside the blocks, if any, are decoded once: they are small, and much is asked of them.
    """
    packed = {}
    for name, place in where.items():
        if name.startswith(BLOCKS) and place.dtype not in PLAIN:
            path, _, last = name.rpartition(".")
            layer = mmdit.get_submodule(path)
            if last != "weight" or not isinstance(layer, nn.Linear):
                raise CheckpointError(
                    f"{file}: {name} is stored as {place.dtype}, but only weights of linear "
                    "layers can be; fetch another file"
                )
            packed[name] = (path, layer)
    return packed


def _tensor(name: str, rows: torch.Tensor, place: Place, dtype: torch.dtype | None):
    """A copy of the rows as they are, for dtype None, else the numbers they stand for."""
    if place.dtype not in PLAIN and not torch.isfinite(scales(rows, place.dtype)).all():
        raise CheckpointError(f"{place.file}: {name} has scales that are NaN or infinity")
    if dtype is None:
        return rows.clone()
    tensor = decode(rows, place.dtype, dtype)
    if not torch.isfinite(tensor).all():
        raise CheckpointError(
            f"{place.file}: {name} holds NaN, infinity, or a number too large for {dtype}"
        )
    return tensor


def _is_changed(mmdit: MMDiT) -> bool:
    """Whether its blocks are streamed or hold packed layers."""
    packed = any(isinstance(module, PackedLinear) for module in mmdit.modules())
    return packed or not isinstance(mmdit.transformer_blocks, nn.ModuleList)


# --- writing


def plan_gguf(mmdit: MMDiT, kind: str = "Q8_0", file: str | Path = "mmdit.gguf") -> GGUFPlan:
    """What save_gguf would write, of an MMDiT with weights or on the meta device.

    As in the files that are published: linear weights of blocks in blocks of this kind, the few
    other matrices in bfloat16, vectors in float32. Raises CheckpointError.
    """
    if kind not in FILE_TYPES:
        raise CheckpointError(f"{kind} cannot be written, only {' and '.join(FILE_TYPES)}")
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
                weight = mmdit.get_parameter(name).detach()
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
