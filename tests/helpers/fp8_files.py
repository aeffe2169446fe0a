"""A small transformer, and its fp8 files in each dialect, made by hand."""

import functools
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from helpers.nets import SMALL
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.formats.fp8 import quantize_fp8
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
CONFIG = replace(SMALL, num_attention_heads=4)  # 64 wide: one block of inputs that share a scale
QUERY = "transformer_blocks.0.attn.to_q"
GRANULARITIES = pytest.mark.parametrize("granularity", ["plain", "tensor", "row", "block"])


def empty(config=CONFIG) -> MMDiT:
    with torch.device("meta"):
        return MMDiT(config)


@functools.cache
def model() -> MMDiT:
    """Of all tests; none changes it."""
    return random_weights(empty(), 0).to(BF16)


def gaussian(std: float, *shape) -> torch.Tensor:
    return std * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tensors_of(mmdit, granularity, ending, dtype=torch.float32, shape=None):
    """The tensors of a file, and the layers in fp8; a scale is called as the ending says."""
    tensors, layers = {}, []
    for name, p in mmdit.named_parameters():
        layer = name.removesuffix(".weight")
        if layer in named_linears(mmdit) and name.startswith("transformer_blocks."):
            tensors[name], scale = quantize_fp8(p, granularity)
            layers.append(layer)
            if scale is not None:
                scale = scale if shape is None else scale.view(shape)
                tensors[f"{layer}{ending}"] = scale.to(dtype)
        else:
            tensors[name] = p.detach()
    return tensors, layers


def plain(mmdit):
    """ComfyUI's e4m3fn files: all of it, biases and norms too, and no scale."""
    return {name: p.detach().to(FP8) for name, p in mmdit.named_parameters()}, {}


def scaled(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".scale_weight")
    tensors |= {f"{layer}.scale_input": torch.tensor(0.02) for layer in layers}
    return tensors | {"scaled_fp8": torch.zeros(0, dtype=FP8)}, {}


def scaled_never_multiplied(mmdit):
    tensors, _ = tensors_of(mmdit, "tensor", ".scale_weight")
    return tensors | {"scaled_fp8": torch.zeros(2)}, {}


def mixed(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".weight_scale")
    formats = {"format_version": "1.0", "layers": {n: {"format": "float8_e4m3fn"} for n in layers}}
    return tensors, {"_quantization_metadata": json.dumps(formats)}


def mixed_in_tensors(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".weight_scale")
    tensors |= {f"{layer}.input_scale": torch.tensor(0.02) for layer in layers}
    return tensors | {f"{layer}.comfy_quant": format_mark("float8_e4m3fn") for layer in layers}, {}


def format_mark(kind):
    return torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)


def one_number(mmdit):
    return tensors_of(mmdit, "tensor", ".scale_weight", BF16, (1,))[0], {}


def rows(mmdit):
    return tensors_of(mmdit, "row", ".scale_weight", BF16)[0], {}


def blocks(mmdit):
    return tensors_of(mmdit, "block", ".scale_weight", BF16)[0], {}


DIALECTS = {
    plain: "ComfyUI plain",
    scaled: "ComfyUI scaled",
    scaled_never_multiplied: "ComfyUI scaled",
    mixed: "ComfyUI mixed precision",
    mixed_in_tensors: "ComfyUI mixed precision",
    one_number: "musubi",
    rows: "musubi",
    blocks: "musubi",
}


every_dialect = pytest.mark.parametrize("write", DIALECTS, ids=lambda write: write.__name__)


def written(file, write, mmdit=None, prefix=""):
    tensors, metadata = write(mmdit or model())
    save_file({f"{prefix}{name}": t for name, t in tensors.items()}, file, metadata=metadata)
    return tensors


def unpacked_by_hand(tensors) -> MMDiT:
    """An ordinary model that holds the file's numbers times their scales."""
    state = {}
    for name in dict(empty().named_parameters()):
        layer, numbers = name.removesuffix(".weight"), tensors[name].float()
        for ending in (".scale_weight", ".weight_scale"):
            if f"{layer}{ending}" in tensors:
                scale = tensors[f"{layer}{ending}"].float()
                width = 64 if scale.ndim == 3 else numbers.shape[1]
                numbers = (numbers.view(len(numbers), -1, width) * scale.reshape(
                    (len(scale), -1, 1) if scale.ndim > 1 else ()
                )).view(len(numbers), -1)  # fmt: skip
        state[name] = numbers.to(BF16)
    mmdit = empty()
    mmdit.load_state_dict(state, assign=True)
    return mmdit


def header_bytes(file) -> int:
    return 8 + int.from_bytes(file.read_bytes()[:8], "little")
