"""Linear layers whose weight is kept packed, in a byte a number or less, and unpacked when used.

The formats that derive from PackedLinear are in formats/: fp8 and GGUF.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

# prefixes in transformer, text encoder and vision tower; linear layers there are nearly all numbers
BLOCKS = ("transformer_blocks.", "model.layers.", "blocks.")


class PackedLinear(nn.Module):
    """(..., in) -> (..., out), as nn.Linear; the unpacked weight lives only during the call."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None):
        super().__init__()
        self.in_features, self.out_features, self.bias = in_features, out_features, bias

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        """-> (out, in) the weight, in the type that is computed in"""
        raise NotImplementedError(f"{type(self).__name__} must define unpacked")

    def forward(self, x):
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            return _UnpackTwice.apply(x, bias, self, *self._parameters.values())
        return F.linear(x, self.unpacked(x.dtype), bias)


class _UnpackTwice(torch.autograd.Function):
    """The same for training: packed tensors are saved, and unpacked again in the backward pass."""

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


def put(network: nn.Module, name: str, packed: PackedLinear) -> None:
    """Set a packed layer in the place of the linear layer of this official name."""
    path, _, last = name.rpartition(".")
    setattr(network.get_submodule(path), last, packed)
