"""The packed weights of ComfyUI's mixed-precision files: bytes and scales of a layer to numbers.

    format            the weight (out, in)                its scales

    int8_tensorwise   I8 (out, in)                        weight_scale, one or (out, 1)
      with convrot    the same of the rotated weight      (out, 1)
    mxfp8             F8_E4M3, rows and columns filled    weight_scale F8_E8M0, one for 32 inputs,
                      up to multiples of 32               in tiles
    nvfp4             U8, two of 4 bits, the first in     weight_scale F8_E4M3, one for 16 inputs,
                      the upper half; up to 16            in tiles, times weight_scale_2; inputs may
                                                          be multiplied by pre_quant_scale (in)
    asym_w4a8_int8    I8, two of 4 bits, the first in     weight_s_rel, one for 16 inputs; rounded
                      the lower half, or 6 bits of        to I8; times weight_s_channel (out); of
                      which the upper two follow;         4 bits, the numbers may stand in
                      rotated                             weight_codebook (16)

Scales in tiles lie as NVIDIA's matrix units read them: 128 rows by 4 columns, in which 32 rows lie
side by side. ConvRot (arXiv 2512.03673) multiplies every 256 inputs of a row by a Hadamard matrix,
which is its own inverse: an outlier is spread over all of them, and the rest need not share its
scale. Sources: ComfyUI's `comfy/ops.py` and `comfy/quant_ops.py`, and comfy-kitchen 0.2.40, which
multiplies in the same order, so that every bit is the same in float32 but for the order of sums in
a rotation.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..files import shorten
from .fp8_table import CHUNK, widen

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # the numbers of 4 bits, but for the sign
TILE_ROWS, TILE_COLUMNS = 128, 4
BY_ROW = ("weight", "weight_scale", "weight_s_rel", "weight_s_channel")
NUMBERS, BYTES_OF_FP8 = ("F32", "BF16", "F16"), ("F8_E4M3", "U8")


@dataclass(frozen=True)
class Form:
    """How the weight of one layer is packed."""

    format: str  # a key of FORMATS
    shape: tuple[int, int]  # (out, in)
    group: int = 0  # inputs that share a scale
    rotated: int = 0  # inputs that are rotated together; 0: none

    def unpack(
        self, parts: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """{part: tensor} -> (out, in); unpacked in float32, rounded once"""
        form, (out, in_) = FORMATS[self.format], self.shape
        if form.tile:  # scales row by row, like everything else
            scale = self.scale("weight_scale", parts["weight_scale"])
            scale = from_tiles(scale, out, -(-in_ // form.tile))
            parts = parts | {"weight_scale": scale}
        numbers = torch.empty(self.shape, dtype=dtype, device=parts["weight"].device)
        some = max(1, CHUNK // in_)
        for rows in (slice(at, min(at + some, out)) for at in range(0, out, some)):
            cut = {n: t[rows] if n in BY_ROW and t.numel() > 1 else t for n, t in parts.items()}
            numbers[rows] = form.unpack(cut, self)[:, :in_]
        return numbers

    def scale(self, part: str, tensor: torch.Tensor) -> torch.Tensor:
        """A part other than the weight, in float32"""
        bytes_of = torch.float8_e8m0fnu if self.format == "mxfp8" else torch.float8_e4m3fn
        return _as(tensor, bytes_of).float()


@dataclass(frozen=True)
class Format:
    """One format: its tensors for a Form, and how they become numbers."""

    parts: Callable[[Form], dict[str, tuple]]  # {part: (types, shapes)}; no shape: may be absent
    unpack: Callable[[dict, Form], torch.Tensor]  # numbers of some rows
    tile: int = 0  # inputs that share a scale, where scales lie in tiles


def rotate(weight: torch.Tensor, size: int) -> torch.Tensor:
    """(out, in) -> (out, in), every `size` inputs times a Hadamard matrix; twice changes nothing"""
    groups = weight.unflatten(1, (-1, size))
    return (groups @ hadamard(size).to(weight.device).T).flatten(1)


@functools.lru_cache(maxsize=8)
def hadamard(size: int) -> torch.Tensor:
    """(size, size), of 4, 16, 64, ...: the regular Hadamard matrix, whose rows have one sum."""
    if size < 4 or 4 ** round(math.log(size, 4)) != size:
        raise ValueError(f"a rotation must be over 4, 16, 64, 256, ... inputs, got {size}")
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
    matrix = four
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    return matrix / size**0.5


def from_tiles(tiles: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Scales as they lie in a file -> (rows, columns)"""
    down, across = (-(-n // size) for n, size in ((rows, TILE_ROWS), (columns, TILE_COLUMNS)))
    # each tile is 32 lines of 16 bytes: rows r, r + 32, r + 64 and r + 96, four columns of each
    parts = tiles.reshape(down, across, 32, 4, TILE_COLUMNS)
    return parts.permute(0, 3, 2, 1, 4).reshape(down * TILE_ROWS, -1)[:rows, :columns]


def _filled(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _tiles(rows: int, columns: int) -> tuple[int, int]:
    return _filled(rows, TILE_ROWS), _filled(columns, TILE_COLUMNS)


def _as(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.view(dtype) if tensor.dtype == torch.uint8 else tensor


# --- the formats


def _int8_parts(form: Form) -> dict:
    out, _ = form.shape
    # careful: a rotated weight has a scale for each row; kitchen refuses one for all
    scales = [(out, 1)] if form.rotated else [(), (1,), (out, 1)]
    return {"weight": (("I8",), [form.shape]), "weight_scale": (NUMBERS, scales)}


def _int8(parts: dict, form: Form) -> torch.Tensor:
    weight = parts["weight"].float().mul_(parts["weight_scale"].float())
    return rotate(weight, form.rotated) if form.rotated else weight


def _mxfp8_parts(form: Form) -> dict:
    out, in_ = (_filled(n, 32) for n in form.shape)
    return {
        "weight": (("F8_E4M3",), [(out, in_)]),
        "weight_scale": (("F8_E8M0", "U8"), [_tiles(out, in_ // 32)]),
    }


def _mxfp8(parts: dict, form: Form) -> torch.Tensor:
    numbers = widen(parts["weight"], torch.float32)
    return (numbers.unflatten(1, (-1, 32)) * parts["weight_scale"].unsqueeze(-1)).flatten(1)


def _nvfp4_parts(form: Form) -> dict:
    out, in_ = (_filled(n, 16) for n in form.shape)
    return {
        "weight": (("U8",), [(out, in_ // 2)]),
        "weight_scale": (BYTES_OF_FP8, [_tiles(out, in_ // 16)]),
        "weight_scale_2": (NUMBERS, [(), (1,)]),
        "pre_quant_scale": (NUMBERS, [None, (form.shape[1],)]),
    }


def _nvfp4(parts: dict, form: Form) -> torch.Tensor:
    table = torch.tensor([*E2M1, *(-number for number in E2M1)], device=parts["weight"].device)
    numbers = _looked_up(parts["weight"], table, upper_first=True)
    scale = parts["weight_scale_2"].float().reshape(()) * parts["weight_scale"]
    weight = (numbers.unflatten(1, (-1, 16)) * scale.unsqueeze(-1)).flatten(1)[:, : form.shape[1]]
    smoothed = parts.get("pre_quant_scale")  # a scale of the inputs is one of the columns
    return weight if smoothed is None else weight * smoothed.float()


def _w4a8_parts(form: Form) -> dict:
    out, in_ = form.shape
    return {
        "weight": (("I8",), [(out, in_ // 2), (out, in_ * 3 // 4)]),
        "weight_s_rel": ((*BYTES_OF_FP8, "F32"), [(out, in_ // form.group)]),
        "weight_s_channel": (NUMBERS, [(out,)]),
        "weight_codebook": (("F32",), [None, (16,)]),
    }


def _w4a8(parts: dict, form: Form) -> torch.Tensor:
    packed, half = parts["weight"].view(torch.uint8), form.shape[1] // 2
    if packed.shape[1] == half:
        uniform = torch.arange(-8.0, 8.0, device=packed.device)
        numbers = _looked_up(packed, parts.get("weight_codebook", uniform), upper_first=False)
    else:
        lower = torch.stack([packed[:, :half] & 15, packed[:, :half] >> 4], dim=-1)
        upper = torch.stack([packed[:, half:] >> bits & 3 for bits in (0, 2, 4, 6)], dim=-1)
        numbers = (lower.flatten(1) | upper.flatten(1) << 4).float() - 32
    scale = _as(parts["weight_s_rel"], torch.float8_e4m3fn).float()
    groups = numbers.unflatten(1, (-1, form.group)) * scale.unsqueeze(-1)
    whole = groups.flatten(1).round_().clamp_(-127, 127)
    return rotate(whole * parts["weight_s_channel"].float().unsqueeze(1), form.rotated)


def _looked_up(packed: torch.Tensor, table: torch.Tensor, upper_first: bool) -> torch.Tensor:
    """Bytes of two numbers each, (out, n), to numbers, (out, 2 n). table: (16,) in float32"""
    halves = torch.arange(256, device=packed.device)
    first, second = (halves >> 4, halves & 15) if upper_first else (halves & 15, halves >> 4)
    pairs = torch.stack([table[first], table[second]], dim=-1).view(torch.int64)  # two in one
    return pairs.index_select(0, packed.flatten().int()).view(torch.float32).view(len(packed), -1)


FORMATS = {
    "int8_tensorwise": Format(_int8_parts, _int8),
    "mxfp8": Format(_mxfp8_parts, _mxfp8, tile=32),
    "nvfp4": Format(_nvfp4_parts, _nvfp4, tile=16),
    "asym_w4a8_int8": Format(_w4a8_parts, _w4a8),
}


# --- from what a file says of a layer


def form_of(fields: dict, shape: tuple[int, int]) -> Form:
    """The JSON beside a layer -> its form. Raises ValueError, one line without the layer."""
    more = fields.get("params")
    stated = (more if isinstance(more, dict) else {}) | fields
    kind, grouped = stated["format"], stated["format"] == "asym_w4a8_int8"
    sizes = {}
    if grouped or (kind == "int8_tensorwise" and stated.get("convrot")):
        sizes["convrot_groupsize"] = stated.get("convrot_groupsize", 256)
    if grouped:
        sizes["group_size"] = stated.get("group_size", 16)
    for name, size in sizes.items():
        if type(size) is not int or size < 4 or shape[1] % size:
            raise ValueError(f"{name} must divide its {shape[1]} inputs, got {shorten([size])}")
    if grouped and (shape[1] % 16 or (16 % sizes["group_size"] and sizes["group_size"] % 16)):
        raise ValueError(f"groups must fit into 16 inputs, got {sizes['group_size']}")
    rotated = sizes.get("convrot_groupsize", 0)
    if rotated:
        hadamard(rotated)
    return Form(kind, tuple(shape), sizes.get("group_size", 0), rotated)
