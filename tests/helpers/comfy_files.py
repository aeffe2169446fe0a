"""A small transformer, and its weights in each of ComfyUI's formats."""

import functools
import json
from dataclasses import replace

import torch
from safetensors.torch import save_file

from helpers.nets import SMALL
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.formats import comfy_packing
from qwenimage_ref.formats.comfy_layouts import form_of
from qwenimage_ref.formats.comfy_packing import fields_of, pack
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


ENCODERS = {  # kind: how a weight is packed, what the file says of it
    kind: (functools.partial(pack, kind=kind), fields_of(kind)) for kind in comfy_packing.ENCODERS
}


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
