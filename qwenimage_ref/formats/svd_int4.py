"""INT4 with a low-rank branch, as SVDQuant has it (arXiv 2411.05007): outliers go round the 4 bits.

    W = (up down + 4 bits * scale) / smooth        up (out, r), down (r, in), smooth (in)

Fifteen steps between the largest number of a group and its opposite leave nothing for the rest
where one number is much larger. Two things come before: columns that meet large inputs are made
larger, so that inputs and weights share the trouble (`smoothing`); then the directions in which the
weight is largest are taken out by a singular value decomposition and kept in bfloat16. The rest is
small and even, and 4 bits suffice. The published kernels (Nunchaku) also round the inputs to 4
bits, and lay the bytes out for one kind of GPU: their files are not read. Here the weight alone is
packed, row by row, in memory.
"""

import torch
from torch import nn

from ..checkpoint.packed_linear import PackedLinear

GROUP = 64  # inputs that share a scale
LARGEST = 7  # the largest number of -8 to 7: zero stays zero and both signs reach as far


def smoothing(weight: torch.Tensor, largest_inputs: torch.Tensor, share=0.5) -> torch.Tensor:
    """(out, in), (in,) -> (in,) by what inputs are divided and columns multiplied

    share: 0 leaves all of the trouble to the inputs, 1 to the weight.
    """
    columns = weight.detach().float().abs().amax(0).clamp(min=1e-8)
    return largest_inputs.float().clamp(min=1e-8) ** share / columns ** (1 - share)


class SVDInt4Linear(PackedLinear):
    """(..., in) -> (..., out), as nn.Linear: 4 bits a weight beside a product of rank r

    The linear layer's own weight is packed at once. smooth: of `smoothing`; None: all ones. Raises
    ValueError for sizes that do not fit.
    """

    def __init__(self, linear: nn.Linear, rank: int, smooth: torch.Tensor | None = None):
        super().__init__(linear.in_features, linear.out_features, linear.bias)
        if linear.in_features % GROUP or not 0 <= rank <= min(linear.weight.shape):
            raise ValueError(
                f"rank must be 0 to {min(linear.weight.shape)} and inputs a multiple of {GROUP}, "
                f"got rank {rank} and {linear.in_features} inputs"
            )
        weight = linear.weight.detach().float()
        weight = weight if smooth is None else weight * smooth
        up, values, down = torch.linalg.svd(weight, full_matrices=False)
        up, down = (up[:, :rank] * values[:rank]).bfloat16(), down[:rank].bfloat16()
        packed, scale = pack_int4(weight - up.float() @ down.float())
        parts = {"weight": packed, "scale": scale, "up": up, "down": down, "smooth": smooth}
        for name, tensor in parts.items():
            parameter = None if tensor is None else nn.Parameter(tensor, requires_grad=False)
            self.register_parameter(name, parameter)

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        weight = unpack_int4(self.weight, self.scale) + self.up.float() @ self.down.float()
        return (weight if self.smooth is None else weight / self.smooth).to(dtype)

    @property
    def bits(self) -> float:
        """Bits that are stored for a weight"""
        parts = (p for name, p in self.named_parameters() if name != "bias")
        return 8 * sum(p.nbytes for p in parts) / (self.in_features * self.out_features)


def pack_int4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers, (out, in), as bytes of two, (out, in / 2), and scales in bfloat16, (out, in / 64)"""
    groups = weight.float().unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(-1) / LARGEST).bfloat16()
    steps = scale.float().unsqueeze(-1)
    codes = (groups / torch.where(steps > 0, steps, 1.0)).round().clamp(-LARGEST, LARGEST) + 8
    codes = codes.flatten(1).to(torch.uint8)
    return codes[:, ::2] | codes[:, 1::2] << 4, scale


def unpack_int4(packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """What `pack_int4` gives, as numbers again, (out, in), in float32"""
    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(1).float() - 8
    return (codes.unflatten(1, (-1, GROUP)) * scale.float().unsqueeze(-1)).flatten(1)
