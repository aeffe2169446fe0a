"""fp8: weights of a byte each, multiplied by a scale when they are used.

float8_e4m3fn has a sign, four bits of exponent and three of mantissa: 448 is the largest number,
1/512 the smallest above zero, and there is no infinity. Below 1/64 the steps do not shrink with the
number any more, and most weights of std 0.02 are below it. Divided by a scale, so that the largest
becomes 448, nearly none is.

The layouts of the files are in fp8_dialects.py.
"""

import itertools
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ..adapt.streaming import named_linears
from ..checkpoint.fill import Weights, is_finite
from ..checkpoint.headers import DTYPES, Place, Places, read_tensor
from ..checkpoint.packed_linear import BLOCKS, PackedLinear
from ..checkpoint.stored_form import FLOATS, stored_form
from ..checkpoint.write import save_file
from ..files import CheckpointError, whole_file
from ..limits import warn
from ..mmdit import MMDiT
from . import ZERO_COND_T
from .fp8_dialects import ENDINGS, FP8, FP8_TYPES, METADATA, MIXED, MUSUBI, PLAIN, read_layout
from .fp8_table import CHUNK, widen

MAX = 448.0  # largest value of float8_e4m3fn
# the largest scale by which every number of the type stays one in bfloat16
LARGEST_SCALE = {"F8_E4M3": 7e35, "F8_E5M2": 5e33}
BLOCK = 64  # inputs that share a scale, as musubi has it
WRITTEN = {"plain": PLAIN, "tensor": MIXED, "row": MUSUBI, "block": MUSUBI}


def quantize_fp8(w: torch.Tensor, granularity: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(out, in) -> (out, in) in float8_e4m3fn, and the scale in float32 to multiply it by

    granularity: "plain" (no scale: None), "tensor" (), "row" (out, 1) or "block" (out, in / 64, 1).
    """
    if granularity not in WRITTEN:
        raise ValueError(f"granularity must be one of {list(WRITTEN)}, got {granularity!r}")
    if not torch.isfinite(w).all():
        raise ValueError("the weight must be finite for fp8, got NaN or infinity")
    if granularity == "block" and w.shape[1] % BLOCK:
        raise ValueError(f"inputs must be a multiple of {BLOCK}, got {w.shape[1]}; quantise by row")
    numbers = w.detach().float()
    if granularity == "plain":
        return _to_fp8(numbers), None
    if granularity == "tensor":
        largest = numbers.abs().amax()
    else:
        numbers = numbers.unflatten(1, (-1, BLOCK)) if granularity == "block" else numbers
        largest = numbers.abs().amax(-1, keepdim=True)
    scale = torch.where(largest > 0, largest / MAX, 1.0)  # an all-zero row: any scale will do
    return _to_fp8(numbers / scale).view_as(w), scale


def _to_fp8(numbers: torch.Tensor) -> torch.Tensor:
    # careful: clamped first; beyond 448 some builds of torch answer NaN, others 448
    return numbers.clamp(-MAX, MAX).to(torch.float8_e4m3fn)


def unpack_fp8(weight: torch.Tensor, scale: torch.Tensor | None, dtype: torch.dtype):
    """(out, in), its scale -> (out, in) in `dtype`

    The product is made in float32 and rounded once. musubi multiplies in the scale's own bf16,
    which comes to the same numbers; ComfyUI rounds its float32 scale to bf16 before, or multiplies
    the layer's input instead. Neither is nearer to what was quantised.
    """
    if scale is None:
        return widen(weight, dtype)
    unpacked, rows = torch.empty_like(weight, dtype=dtype), max(1, CHUNK // weight.shape[1])
    scales = scale.float().split(rows) if scale.ndim > 1 else itertools.repeat(scale.float())
    for packed, factors, into in zip(weight.split(rows), scales, unpacked.split(rows)):
        numbers = widen(packed, torch.float32)
        blocks = numbers.unflatten(1, (factors.shape[1], -1)) if scale.ndim == 3 else numbers
        blocks.mul_(factors)
        into.copy_(numbers)
    return unpacked


def has_fp8_matmul(device: torch.device) -> bool:
    """Does it multiply matrices in fp8? NVIDIA's do from compute capability 8.9 on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


class Fp8Linear(PackedLinear):
    """(..., in) -> (..., out), as nn.Linear with the weight `weight * scale`

    Made empty, on the meta device. fast: let the device multiply in fp8 where it can, which rounds
    the inputs to fp8, too; without gradients, and in bf16 alone.
    """

    def __init__(
        self,
        linear: nn.Linear,
        scale: tuple | None,
        scale_dtype=None,
        fast=False,
        dtype=torch.float8_e4m3fn,
    ):
        super().__init__(linear.in_features, linear.out_features, linear.bias)
        shape = (linear.out_features, linear.in_features)
        weight = torch.empty(shape, dtype=dtype, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = None
        if scale is not None:
            empty = torch.empty(scale, dtype=scale_dtype or torch.float32, device="meta")
            self.scale = nn.Parameter(empty, requires_grad=False)
        # the matmul takes sizes in sixteens, one scale a tensor or a row, and never two of e5m2
        in_sixteens = linear.in_features % 16 == linear.out_features % 16 == 0
        in_sixteens = in_sixteens and dtype == torch.float8_e4m3fn
        self.fast = fast and in_sixteens and (scale is None or len(scale) < 3)
        self.input_scale: float | None = None  # None: the largest input decides, every time

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        return unpack_fp8(self.weight, self.scale, dtype)

    def forward(self, x):
        trained = torch.is_grad_enabled() and x.requires_grad
        if self.fast and not trained and x.dtype == torch.bfloat16 and has_fp8_matmul(x.device):
            return self.multiply_packed(x)
        return super().forward(x)

    def multiply_packed(self, x):
        """The product of inputs and weight, both in fp8, their sums in float32."""
        rows, scale = x.flatten(0, -2).float(), self.scale
        by_row = scale is not None and scale.ndim == 2
        if by_row:
            largest, scale = rows.abs().amax(-1, keepdim=True), scale.float().view(1, -1)
        else:
            largest = rows.abs().amax()
            scale = torch.ones((), device=x.device) if scale is None else scale.float().reshape(())
        x_scale = (largest / MAX).clamp(min=1e-12)
        if self.input_scale is not None and not by_row:
            x_scale = torch.full_like(x_scale, self.input_scale)
        # careful: the second factor has to lie column by column, as the transposed weight does
        y = torch._scaled_mm(
            _to_fp8(rows / x_scale), self.weight.t(), scale_a=x_scale, scale_b=scale,
            bias=None if self.bias is None else self.bias.to(x.dtype), out_dtype=x.dtype,
        )  # fmt: skip
        return y.unflatten(0, x.shape[:-1])


# --- loading


@dataclass
class Fp8Weights(Weights):
    """fp8 files of any dialect: linear layers of blocks stay packed, the rest is unpacked."""

    scales: dict[str, Place] = field(default_factory=dict)  # {layer: place of its weight's scale}
    inputs: dict[str, Place] = field(default_factory=dict)  # {layer: place of its input's scale}
    exact: set[str] = field(default_factory=set)  # layers that are never multiplied in fp8
    fast: bool = False  # see Fp8Linear
    types: ClassVar = {*FLOATS, *FP8_TYPES}

    def __str__(self) -> str:
        return f"{self.source}: fp8, {self.layout}, {len(self.packed)} linear layers stay packed"

    def numbers(self, name: str) -> torch.Tensor:
        tensor = super().numbers(name)
        if not self.scaled(name):
            return tensor
        return unpack_fp8(tensor, self.scale(name.removesuffix(".weight")), torch.float32)

    def scaled(self, name: str) -> bool:
        layer = name.removesuffix(".weight")
        return layer != name and layer in self.scales and layer not in self.packed

    def layer(self, name: str, linear: nn.Linear) -> "Fp8Linear":
        place, fast = self.scales.get(name), self.fast and name not in self.exact
        shape = None if place is None else place.shape
        dtype = DTYPES[self.places[f"{name}.weight"].dtype]
        scale_dtype = None if place is None else DTYPES[place.dtype]
        layer = Fp8Linear(linear, shape, scale_dtype, fast, dtype)
        if layer.fast and name in self.inputs:
            layer.input_scale = _positive(self.inputs[name], f"the input scale of {name}").item()
        return layer

    def packed_tensors(self, name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        tensors = {"weight": super().numbers(f"{name}.weight")}
        if not is_finite(tensors["weight"]):
            raise self.damaged(f"{name}.weight")
        return tensors | ({"scale": self.scale(name)} if name in self.scales else {})

    def check_streamed(self, name: str) -> None:
        if name in self.scales:
            self.scale(name)

    def scale(self, layer: str) -> torch.Tensor:
        largest = LARGEST_SCALE[self.places[f"{layer}.weight"].dtype]
        return _positive(self.scales[layer], f"the scale of {layer}", largest)


def fp8_weights(
    source: str,
    places: Places,
    names: dict[str, str],
    network: nn.Module,
    fast: bool = False,
    apart: Collection[str] = (),
) -> Fp8Weights:
    """fp8 files -> where the tensors of a network lie. Raises CheckpointError, one line.

    names: {official name: name in the files}. fast: see Fp8Linear. apart: layers of the files that
    are not among the names, because they are in another format.
    """
    try:
        layout = read_layout(places, names, stored_form(network), apart)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from None
    weights = Fp8Weights(
        source, layout.tensors, layout.dialect,
        scales=layout.scales, inputs=layout.inputs, exact=layout.exact, fast=fast,
    )  # fmt: skip
    for layer in sorted(layout.packed):
        if layer.startswith(BLOCKS):
            weights.packed[layer] = {"weight": layout.tensors[f"{layer}.weight"]}
            if layer in layout.scales:
                weights.packed[layer]["scale"] = layout.scales[layer]
    return weights


def _positive(place: Place, name: str, largest: float = LARGEST_SCALE["F8_E4M3"]) -> torch.Tensor:
    scale = read_tensor(place)
    if not (scale > 0).all() or not (scale <= largest).all():
        most = f"{largest:g}".replace("+", "")
        raise CheckpointError(
            f"{place.file}: {name} must be above zero and at most {most}; the file is damaged, "
            "fetch it again"
        )
    return scale


# --- saving


def save_fp8(mmdit: MMDiT, file: str | Path, granularity: str = "tensor") -> None:
    """Write a .safetensors file whose blocks' linear layers are fp8, whole or not at all.

    granularity: "plain" as ComfyUI's e4m3fn files, "tensor" as its mixed-precision files, "row" and
    "block" as musubi has them; ComfyUI computes garbage from these two, and a warning says so.
    Everything else is written as the model holds it; Edit-2511 is marked as such. Raises
    CheckpointError; what stood there before is then untouched.
    """
    file = Path(file)
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file} must end in .safetensors")
    tensors, formats = _quantized(mmdit, granularity)
    if mmdit.config.zero_cond_t:
        tensors[ZERO_COND_T] = torch.zeros(0)
    metadata = {"format": "pt"}
    if WRITTEN[granularity] == MIXED:
        metadata[METADATA] = json.dumps({"format_version": "1.0", "layers": formats})
    if WRITTEN[granularity] == MUSUBI:
        warn(
            f"{file}: ComfyUI does not apply scales of a {granularity} and would compute garbage; "
            'granularity="tensor" is read there and here'
        )
    try:
        with whole_file(file) as partial:
            save_file(tensors, partial, metadata=metadata)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {file}: {error}; make room there or choose another folder"
        ) from None


def _quantized(mmdit: MMDiT, granularity: str) -> tuple[dict[str, torch.Tensor], dict[str, dict]]:
    """-> the tensors of an fp8 file, {packed layer: what is said of it in ComfyUI's metadata}"""
    linears = {name for name in named_linears(mmdit) if name.startswith(BLOCKS)}
    state, tensors, formats = dict(mmdit.named_parameters()), {}, {}
    for key in [*state, *(f"{name}.weight" for name in linears)]:
        if key not in state or state[key].is_meta or state[key].dtype.itemsize < 2:
            raise CheckpointError(
                f"{key} is no plain weight in memory (the model is empty, streamed or quantised); "
                "load it from unquantised files, without streaming"
            )
    for key, weight in state.items():
        tensor, layer = weight.detach().cpu().contiguous(), key.removesuffix(".weight")
        if layer not in linears:
            tensors[key] = tensor
            continue
        try:
            tensors[key], scale = quantize_fp8(tensor, granularity)
        except ValueError as error:
            raise CheckpointError(f"{key}: {error}") from None
        if scale is not None:
            tensors[f"{layer}{ENDINGS[WRITTEN[granularity]][0]}"] = scale
        # no scale of inputs is known here, and without one ComfyUI would multiply in fp8 unscaled
        formats[layer] = {"format": FP8, "full_precision_matrix_mult": True}
    return tensors, formats
