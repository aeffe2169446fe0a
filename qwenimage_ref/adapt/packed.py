"""Linear layers whose weight is kept packed, in a byte a number or less, and unpacked when used.

What packing there is says who derives from PackedLinear: fp8 files and GGUF files.
"""

import torch
import torch.nn.functional as F
from torch import nn


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
        return F.linear(x, self.unpacked(x.dtype), bias)


def put(network: nn.Module, name: str, packed: PackedLinear) -> None:
    """Set a packed layer in the place of the linear layer of this official name."""
    path, _, last = name.rpartition(".")
    setattr(network.get_submodule(path), last, packed)
