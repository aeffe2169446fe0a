"""fp8: weights of a byte each, multiplied by a scale when they are used.

float8_e4m3fn has a sign, four bits of exponent and three of mantissa: 448 is the largest number,
1/512 the smallest above zero, and there is no infinity. Below 1/64 the steps do not shrink with the
number any more, and most weights of std 0.02 are below it. Divided by a scale, so that the largest
becomes 448, nearly none is.

What the files look like is told by fp8_dialects.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from ..adapt.streaming import DTYPES, named_linears, stream_mmdit
from ..checkpoint.packed_linear import PackedLinear, put
from ..checkpoint.stored_form import stored_form
from ..files import CheckpointError, shorten, whole_file
from ..mmdit import MMDiT
from .fp8_dialects import ENDINGS, FP8, METADATA, MIXED, MUSUBI, PLAIN, Layout, read_layout, reader

MAX = 448.0  # of float8_e4m3fn
BLOCK = 64  # inputs that share a scale, as musubi has it
BLOCKS = "transformer_blocks."  # only their linear layers stay packed: 99.8 % of the numbers
WRITTEN = {"plain": PLAIN, "tensor": MIXED, "row": MUSUBI, "block": MUSUBI}


def quantize_fp8(w: torch.Tensor, granularity: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(out, in) -> (out, in) in float8_e4m3fn, and the scale in float32 to multiply it by

    granularity: "plain" (no scale: None), "tensor" (), "row" (out, 1) or "block" (out, in / 64, 1).
    """
    if granularity not in WRITTEN:
        raise ValueError(f"granularity {granularity!r} is not known; take one of {list(WRITTEN)}")
    if not torch.isfinite(w).all():
        raise ValueError("the weight holds NaN or infinity; fp8 has no such numbers")
    if granularity == "block" and w.shape[1] % BLOCK:
        raise ValueError(f"{w.shape[1]} inputs are no multiple of {BLOCK}; quantise by row")
    numbers = w.detach().float()
    if granularity == "plain":
        return _to_fp8(numbers), None
    if granularity == "tensor":
        largest = numbers.abs().amax()
    else:
        numbers = numbers.unflatten(1, (-1, BLOCK)) if granularity == "block" else numbers
        largest = numbers.abs().amax(-1, keepdim=True)
    scale = torch.where(largest > 0, largest / MAX, 1.0)  # of nothing but zeros: any
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
        return weight.to(dtype)
    numbers = weight.to(torch.float32, copy=True)
    blocks = numbers.unflatten(1, (scale.shape[1], -1)) if scale.ndim == 3 else numbers
    blocks.mul_(scale.float())  # in place: a layer of the official size is 150 MB here
    return numbers.to(dtype)


def has_fp8_matmul(device: torch.device) -> bool:
    """Does it multiply matrices in fp8? NVIDIA's do from compute capability 8.9 on."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


class Fp8Linear(PackedLinear):
    """(..., in) -> (..., out), as nn.Linear with the weight `weight * scale`

    Made empty, on the meta device. fast: let the device multiply in fp8 where it can, which rounds
    the inputs to fp8, too; without gradients, and in bf16 alone.
    """

    def __init__(self, linear: nn.Linear, scale: tuple | None, scale_dtype=None, fast=False):
        super().__init__(linear.in_features, linear.out_features, linear.bias)
        shape = (linear.out_features, linear.in_features)
        weight = torch.empty(shape, dtype=torch.float8_e4m3fn, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.scale = None
        if scale is not None:
            empty = torch.empty(scale, dtype=scale_dtype or torch.float32, device="meta")
            self.scale = nn.Parameter(empty, requires_grad=False)
        # the matmul takes sizes in sixteens, and one scale a tensor or a row
        in_sixteens = linear.in_features % 16 == linear.out_features % 16 == 0
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


@dataclass(frozen=True)
class Report:
    """What was loaded."""

    source: str
    dialect: str
    packed: int  # linear layers that stay in fp8
    plain: int  # linear layers in high precision
    fast: int  # of the packed: those that may be multiplied in fp8
    bytes: int  # of all tensors, as they lie in the files

    def __str__(self) -> str:
        fast = f" ({self.fast} multiplied in fp8 where the device can)" if self.fast else ""
        large = self.bytes >= 1e9
        size = f"{self.bytes / 1e9:.2f} GB" if large else f"{self.bytes / 1e6:.2f} MB"
        return (
            f"{self.source}: fp8, {self.dialect}, {self.packed} linear layers stay packed{fast}, "
            f"{self.plain} in high precision, {size}"
        )


def load_fp8(
    mmdit: MMDiT, source, dtype: torch.dtype, stream=False, device="cpu", fast=False
) -> Report:
    """Fill an MMDiT on the meta device from fp8 files of any dialect; its class stays, and names.

    The linear layers of blocks stay packed and everything else is unpacked to `dtype`, whatever the
    files hold it in. stream: blocks stay on disk. fast: see Fp8Linear; layers of which the file
    says otherwise stay exact. Raises CheckpointError; the model is then unchanged.
    """
    wanted = stored_form(mmdit)
    layout = read_layout(source, wanted, mmdit.config.zero_cond_t)
    left = BLOCKS if stream else ()
    with reader(layout.where, layout.keys) as read:
        layers = {
            name: _empty_layer(mmdit.get_submodule(name), name, layout, fast, read)
            for name in sorted(layout.packed)
            if name.startswith(BLOCKS)
        }
        state = {}
        for key in wanted:
            if not key.startswith(left):
                state |= _read(key, layout, layers, dtype, device, read)
    for name, layer in layers.items():
        put(mmdit, name, layer)
    mmdit.load_state_dict(state, strict=not stream, assign=True)
    if stream:
        where = {key: layout.where[key] for key in wanted if key.startswith(BLOCKS)}
        scaled = layers.keys() & layout.scales.keys()
        where |= {f"{name}.scale": layout.where[layout.scales[name]] for name in scaled}
        stream_mmdit(mmdit, source, dtype, device, where=where)
    return Report(
        Path(source).name if isinstance(source, (str, Path)) else shorten(map(str, source)),
        layout.dialect,
        len(layers),
        len(named_linears(mmdit)) - len(layers),
        sum(layer.fast for layer in layers.values()),
        sum(place.stop - place.start for place in layout.where.values()),
    )


def _empty_layer(linear: nn.Linear, name: str, layout: Layout, fast: bool, read) -> Fp8Linear:
    fast = fast and name not in layout.exact
    if name not in layout.scales:
        return Fp8Linear(linear, None, fast=fast)
    place = layout.where[layout.scales[name]]
    layer = Fp8Linear(linear, place.shape, DTYPES[place.dtype], fast)
    if layer.fast and name in layout.inputs:
        layer.input_scale = _positive(layout, layout.inputs[name], read).item()
    return layer


def _read(key: str, layout: Layout, layers, dtype, device, read) -> dict[str, torch.Tensor]:
    """The tensor of an official key, unpacked; or packed, and with its scale."""
    tensor, layer = read(key), key.removesuffix(".weight")
    if not _finite(tensor):
        raise CheckpointError(
            f"{layout.where[key].file}: {key} holds NaN or infinity; the file is damaged, "
            "fetch it again"
        )
    scale = _positive(layout, layout.scales[layer], read) if layer in layout.scales else None
    if layer in layers:
        held = {key: tensor} if scale is None else {key: tensor, f"{layer}.scale": scale}
        return {name: part.to(device, copy=True) for name, part in held.items()}
    unpacked = unpack_fp8(tensor, scale, dtype)
    if not _finite(unpacked):
        raise CheckpointError(f"{layout.where[key].file}: {key} is too large for {dtype}")
    return {key: unpacked.to(device, copy=True)}


def _positive(layout: Layout, name: str, read) -> torch.Tensor:
    scale = read(name)
    if not (_finite(scale) and (scale > 0).all()):
        raise CheckpointError(
            f"{layout.where[name].file}: {name} holds a scale that is not above zero; the file is "
            "damaged, fetch it again"
        )
    return scale


def _finite(numbers: torch.Tensor) -> bool:
    if numbers.dtype == torch.float8_e4m3fn:  # it has no infinity, and torch no isfinite for it
        return not numbers.isnan().any()
    return bool(numbers.isfinite().all())


# --- saving


def save_fp8(mmdit: MMDiT, file: str | Path, granularity: str = "tensor") -> None:
    """Write a .safetensors file whose blocks' linear layers are fp8, whole or not at all.

    granularity: "plain" as ComfyUI's e4m3fn files, "tensor" as its mixed-precision files, "row" and
    "block" as musubi has them. Everything else is written as the model holds it. Raises
    CheckpointError; what stood there before is then untouched.
    """
    file, tensors, told = Path(file), {}, {}
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file} must end in .safetensors")
    linears = {name for name in named_linears(mmdit) if name.startswith(BLOCKS)}
    state = dict(mmdit.named_parameters())
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
            weight_scale = ENDINGS[WRITTEN[granularity]][0]
            tensors[f"{layer}{weight_scale}"] = scale
        # no scale of inputs is known here, and without one ComfyUI would multiply in fp8 unscaled
        told[layer] = {"format": FP8, "full_precision_matrix_mult": True}
    metadata = {"format": "pt"}
    if WRITTEN[granularity] == MIXED:
        metadata[METADATA] = json.dumps({"format_version": "1.0", "layers": told})
    try:
        with whole_file(file) as partial:
            save_file(tensors, partial, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {file}: {error}; make room there or choose another folder"
        ) from None
