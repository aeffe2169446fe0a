"""Weights packed into ComfyUI's formats: each scale from the largest number that shares it.

The plainest encoders that there are, for the course and for tests; comfy_layouts.py unpacks. What
publishers use searches for better scales, or smooths the weights first.
"""

from collections.abc import Callable

import torch

from .comfy_layouts import E2M1, TILE_COLUMNS, TILE_ROWS, form_of, rotate

Parts = dict[str, torch.Tensor]
LARGEST_FP8, LARGEST_INT8, LARGEST_FP4 = 448, 127, 6


def in_tiles(scale: torch.Tensor) -> torch.Tensor:
    """Scales row by row, as NVIDIA's units read them: by the formula for the place of a scale"""
    rows, columns = scale.shape
    down, across = -(-rows // TILE_ROWS), -(-columns // TILE_COLUMNS)
    tiles = torch.zeros(down * across * TILE_ROWS * TILE_COLUMNS, dtype=scale.dtype)
    r, c = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    at = (r // 128 * across + c // 4) * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4
    tiles[at] = scale
    return tiles.view(down * TILE_ROWS, across * TILE_COLUMNS)


def _over(numbers: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Numbers in units of their scale; 0 where the scale is, because they are 0 there, too"""
    return torch.where(scale > 0, numbers / scale, 0.0)


def int8(weight: torch.Tensor) -> Parts:
    """One scale for the whole layer."""
    scale = weight.abs().amax() / LARGEST_INT8
    return {"weight": _over(weight, scale).round().char(), "weight_scale": scale}


def int8_by_row(weight: torch.Tensor) -> Parts:
    """One scale for each output."""
    scale = weight.abs().amax(1, keepdim=True) / LARGEST_INT8
    return {"weight": _over(weight, scale).round().char(), "weight_scale": scale}


def mxfp8(weight: torch.Tensor) -> Parts:
    """Powers of two as scales, one for 32 inputs. Rows and columns: multiples of 32."""
    groups = weight.unflatten(1, (-1, 32))
    exponents = (groups.abs().amax(-1) / LARGEST_FP8).log2().ceil().clamp(min=-127)
    numbers = (groups / exponents.exp2().unsqueeze(-1)).flatten(1).to(torch.float8_e4m3fn)
    scale = in_tiles((exponents + 127).to(torch.uint8)).view(torch.float8_e8m0fnu)
    return {"weight": numbers, "weight_scale": scale}


def nvfp4(weight: torch.Tensor) -> Parts:
    """Scales in fp8, one for 16 inputs, under one for all. Rows and columns: multiples of 16."""
    groups = weight.unflatten(1, (-1, 16))
    whole = weight.abs().amax() / LARGEST_FP8 / LARGEST_FP4
    scale = _over(groups.abs().amax(-1) / LARGEST_FP4, whole).to(torch.float8_e4m3fn)
    wanted = _over(groups, (whole * scale.float()).unsqueeze(-1))
    codes = (wanted.abs().unsqueeze(-1) - torch.tensor(E2M1)).abs().argmin(-1)
    codes = (codes + 8 * (wanted < 0)).flatten(1).byte()
    return {
        "weight": codes[:, ::2] << 4 | codes[:, 1::2],
        "weight_scale": in_tiles(scale.view(torch.uint8)).view(torch.float8_e4m3fn),
        "weight_scale_2": whole,
    }


def w4a8(weight: torch.Tensor) -> Parts:
    """Whole numbers of 4 bits, scales in fp8 for 16 inputs under one for each output."""
    groups = weight.unflatten(1, (-1, 16))
    channel = weight.abs().amax(1) / LARGEST_INT8
    relative = _over(groups.abs().amax(-1) / 7, channel.unsqueeze(1)).to(torch.float8_e4m3fn)
    step = (relative.float() * channel.unsqueeze(1)).unsqueeze(-1)
    codes = (_over(groups, step).round().clamp(-8, 7) + 8).flatten(1).byte()
    return {
        "weight": (codes[:, ::2] | codes[:, 1::2] << 4).view(torch.int8),
        "weight_s_rel": relative,
        "weight_s_channel": channel,
    }


ENCODERS: dict[str, tuple[Callable, dict]] = {  # kind: how it is packed, what the file says of it
    "int8": (int8, {"format": "int8_tensorwise"}),
    "int8 by row": (int8_by_row, {"format": "int8_tensorwise"}),
    "int8 rotated": (int8_by_row, {"format": "int8_tensorwise", "convrot": True}),
    "mxfp8": (mxfp8, {"format": "mxfp8"}),
    "nvfp4": (nvfp4, {"format": "nvfp4"}),
    "w4a8": (w4a8, {"format": "asym_w4a8_int8", "group_size": 16}),
}
ROTATED = ("int8 rotated", "w4a8")


def fields_of(kind: str, rotated: int = 256) -> dict:
    """The JSON beside a layer of this kind. rotated: inputs that are rotated together, if any"""
    _, fields = ENCODERS[kind]
    return fields | {"convrot_groupsize": rotated} if kind in ROTATED else fields


def pack(weight: torch.Tensor, kind: str, rotated: int = 256) -> Parts:
    """A matrix in float32 -> its tensors in a file. Raises ValueError where sizes do not fit."""
    encode, _ = ENCODERS[kind]
    form_of(fields_of(kind, rotated), tuple(weight.shape))  # the check of sizes
    return encode(rotate(weight, rotated) if kind in ROTATED else weight)


def rounded(weight: torch.Tensor, kind: str, rotated: int = 256) -> torch.Tensor:
    """A matrix after a round trip through a format, of the same shape"""
    form = form_of(fields_of(kind, rotated), tuple(weight.shape))
    return form.unpack(pack(weight, kind, rotated))
