"""A small transformer, and its weights in each of ComfyUI's formats, packed by plain encoders."""

import functools
import json
from dataclasses import replace

import torch
from safetensors.torch import save_file

from helpers.nets import SMALL
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.formats.comfy_layouts import E2M1, form_of, rotate
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

CONFIG = replace(SMALL, num_layers=1, num_attention_heads=16)  # 256 wide, which can be rotated
QUERY = "transformer_blocks.0.attn.to_q"
BF16 = torch.bfloat16


def empty() -> MMDiT:
    with torch.device("meta"):
        return MMDiT(CONFIG)


@functools.cache
def model() -> MMDiT:
    """Of all tests; none changes it."""
    return random_weights(empty(), 0).to(BF16)


def in_tiles(scale: torch.Tensor) -> torch.Tensor:
    """(rows, columns) -> as NVIDIA's units read them, by its formula for the place of a scale"""
    rows, columns = scale.shape
    down, across = -(-rows // 128), -(-columns // 4)
    tiles = torch.zeros(down * across * 512, dtype=scale.dtype)
    r, c = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    at = (r // 128 * across + c // 4) * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4
    tiles[at] = scale
    return tiles.view(down * 128, across * 4)


def int8(w):
    scale = w.abs().amax() / 127
    return {"weight": (w / scale).round().char(), "weight_scale": scale}


def int8_by_row(w):
    scale = w.abs().amax(1, keepdim=True) / 127
    return {"weight": (w / scale).round().char(), "weight_scale": scale}


def int8_rotated(w):
    return int8_by_row(rotate(w, 256))


def mxfp8(w):
    groups = w.unflatten(1, (-1, 32))
    exponents = (groups.abs().amax(-1) / 448).log2().ceil()
    weight = (groups / exponents.exp2().unsqueeze(-1)).flatten(1).to(torch.float8_e4m3fn)
    scale = in_tiles((exponents + 127).to(torch.uint8)).view(torch.float8_e8m0fnu)
    return {"weight": weight, "weight_scale": scale}


def nvfp4(w):
    groups = w.unflatten(1, (-1, 16))
    whole = w.abs().amax() / 448 / 6
    scale = (groups.abs().amax(-1) / 6 / whole).to(torch.float8_e4m3fn)
    wanted = groups / (whole * scale.float()).unsqueeze(-1)
    codes = (wanted.abs().unsqueeze(-1) - torch.tensor(E2M1)).abs().argmin(-1)
    codes = (codes + 8 * (wanted < 0)).flatten(1).byte()
    return {
        "weight": codes[:, ::2] << 4 | codes[:, 1::2],
        "weight_scale": in_tiles(scale.view(torch.uint8)).view(torch.float8_e4m3fn),
        "weight_scale_2": whole,
    }


def w4a8(w):
    groups = rotate(w, 256).unflatten(1, (-1, 16))
    channel = w.abs().amax(1) / 127
    relative = (groups.abs().amax(-1) / 7 / channel.unsqueeze(1)).to(torch.float8_e4m3fn)
    step = (relative.float() * channel.unsqueeze(1)).unsqueeze(-1)
    codes = ((groups / step).round().clamp(-8, 7) + 8).flatten(1).byte()
    return {
        "weight": (codes[:, ::2] | codes[:, 1::2] << 4).view(torch.int8),
        "weight_s_rel": relative,
        "weight_s_channel": channel,
    }


ENCODERS = {  # name: how a weight is packed, what the file says of it
    "int8": (int8, {"format": "int8_tensorwise"}),
    "int8 by row": (int8_by_row, {"format": "int8_tensorwise"}),
    "int8 rotated": (
        int8_rotated, {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 256},
    ),
    "mxfp8": (mxfp8, {"format": "mxfp8"}),
    "nvfp4": (nvfp4, {"format": "nvfp4"}),
    "w4a8": (w4a8, {"format": "asym_w4a8_int8", "group_size": 16, "convrot_groupsize": 256}),
}  # fmt: skip


def mark(fields: dict) -> torch.Tensor:
    """What ComfyUI writes beside a layer: JSON as bytes"""
    return torch.tensor(list(json.dumps(fields).encode()), dtype=torch.uint8)


def layers() -> list[str]:
    """The linear layers of the blocks."""
    return [name for name in named_linears(model()) if name.startswith("transformer_blocks.")]


def packed(kinds: dict[str, str]) -> dict[str, torch.Tensor]:
    """{layer: name of its format} -> the tensors of a file; other layers stay as they are"""
    tensors = {name: p.detach() for name, p in model().named_parameters()}
    for layer, kind in kinds.items():
        encode, fields = ENCODERS[kind]
        parts = encode(tensors[f"{layer}.weight"].float())
        tensors |= {f"{layer}.{part}": tensor.contiguous() for part, tensor in parts.items()}
        tensors[f"{layer}.comfy_quant"] = mark(fields)
    return tensors


def written(file, kinds: dict[str, str], prefix="", **more) -> dict[str, torch.Tensor]:
    """A file in these formats, with other tensors of QUERY by part, or without them (None)"""
    tensors = packed(kinds)
    for part, tensor in more.items():
        tensors[f"{QUERY}.{part}"] = tensor
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file({f"{prefix}{name}": tensor for name, tensor in tensors.items()}, file)
    return tensors


def unpacked(kinds: dict[str, str]) -> MMDiT:
    """The ordinary model of the numbers that such a file holds"""
    state = {name: p.detach().clone() for name, p in model().named_parameters()}
    for layer, kind in kinds.items():
        encode, fields = ENCODERS[kind]
        weight = state[f"{layer}.weight"]
        numbers = form_of(fields, weight.shape).unpack(encode(weight.float()))
        state[f"{layer}.weight"] = numbers.to(BF16)
    mmdit = empty()
    mmdit.load_state_dict(state, assign=True)
    return mmdit
