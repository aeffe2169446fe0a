"""Rows of `qwenimage bench` on packed weights: what unpacking adds to a layer's time."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from ...checkpoint.headers import Place
from ...formats.comfy import ComfyLinear
from ...formats.comfy_layouts import form_of
from ...formats.comfy_packing import int8_by_row
from ...formats.fp8 import Fp8Linear, quantize_fp8
from .parts import Plan, Row, alternate, noise

PACKED = 1 / 1.3  # smallest speed-up of a packed layer over the same in bf16


def packed_rows(plan: Plan) -> Iterator[Row]:
    """The first layer of a block's MLP with packed weights; "reference" has them in bf16"""
    width, (_, rows, cols) = plan.mmdit.inner_dim, plan.grid
    plain = nn.Linear(width, 4 * width).bfloat16()
    with torch.no_grad():
        plain.weight.copy_(noise(4 * width, width) * width**-0.5)
    tokens = rows * cols + plan.text_tokens
    x = noise(1, tokens, width).bfloat16()
    for name, pack in (("fp8", in_fp8), ("int8", in_int8)):
        seconds, _ = alternate([partial(pack(plain), x), partial(plain, x)], plan.rounds)
        what = f"linear layer {width} to {4 * width}, {name}, {tokens} tokens"
        yield Row(what, "s", *seconds, PACKED)


def in_fp8(linear: nn.Linear) -> Fp8Linear:
    """A linear layer's copy in scaled fp8"""
    weight, scale = quantize_fp8(linear.weight, "tensor")
    layer = Fp8Linear(linear, scale.shape)
    layer.load_state_dict({"weight": weight, "scale": scale, "bias": linear.bias}, assign=True)
    return layer


def in_int8(linear: nn.Linear) -> ComfyLinear:
    """A linear layer's copy in ComfyUI's int8, with a scale for each output"""
    parts = int8_by_row(linear.weight.detach().float())
    form = form_of({"format": "int8_tensorwise"}, tuple(linear.weight.shape))
    kinds = {"weight": "I8", "weight_scale": "F32"}
    places = {name: Place(None, kinds[name], part.shape, 0, 0) for name, part in parts.items()}
    layer = ComfyLinear(linear, form, places)
    layer.load_state_dict(parts | {"bias": linear.bias}, assign=True)
    return layer
