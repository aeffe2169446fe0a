"""Linear layers whose weight is kept packed, in a byte a number or less, and unpacked when used.

What packing there is says who derives from PackedLinear: fp8 files and GGUF files.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from ..files import CheckpointError, shorten


class PackedLinear(nn.Module):
    """(..., in) -> (..., out), as nn.Linear; the unpacked weight lives only during the call."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None):
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        """-> (out, in) the weight, in the type that is computed in"""
        raise TypeError(f"{type(self).__name__} does not say how it is unpacked")

    def forward(self, x):
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            return _UnpackTwice.apply(x, bias, self, *self._parameters.values())
        return F.linear(x, self.unpacked(x.dtype), bias)


class _UnpackTwice(torch.autograd.Function):
    """The same for training: what is kept for the way back is packed, and is unpacked once more."""

    @staticmethod
    def forward(ctx, x, bias, layer, *packed):
        # careful: the tensors themselves, because a streamed layer has them for this call alone
        ctx.save_for_backward(*packed)
        ctx.layer = layer
        return F.linear(x, layer.unpacked(x.dtype), bias)

    @staticmethod
    def backward(ctx, gradient):
        layer = copy.copy(ctx.layer)
        layer._parameters = dict(zip(ctx.layer._parameters, ctx.saved_tensors))
        to_bias = gradient.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        to_x = gradient @ layer.unpacked(gradient.dtype)
        return to_x, to_bias, None, *(None for _ in layer._parameters)


# of keys, in files that hold the transformer alone; longest first, one may begin another
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "model.")


def strip_prefix(keys, prefixes=PREFIXES) -> dict[str, str]:
    """Keys -> {name without the prefix that some of them have: key}; others stay as they are."""
    keys = list(keys)
    prefix = next((p for p in prefixes if any(key.startswith(p) for key in keys)), "")
    names = {key.removeprefix(prefix): key for key in keys}
    if twice := sorted(key for key in keys if names[key.removeprefix(prefix)] != key):
        raise CheckpointError(
            f"{shorten(twice)} is there with {prefix} before it and without; keep one of the two"
        )
    return names


def put(network: nn.Module, name: str, packed: PackedLinear) -> None:
    """Set a packed layer in the place of the linear layer of this official name."""
    path, _, last = name.rpartition(".")
    setattr(network.get_submodule(path), last, packed)
