"""Adapters of other kinds than a pair of matrices: LoKr, LoHa and DoRA.

    LoKr    W' = W + s w1 (x) w2                the Kronecker product; either may be w_a w_b
    LoHa    W' = W + s (w1_a w1_b) * (w2_a w2_b)      elementwise
    DoRA    W' = m (W + D) / |W + D|            D of one of the three others, m a length a row

s is alpha / r, r the rank of the factors. Sources: LyCORIS (`lycoris/modules`, `functional`), whose
names ComfyUI, SimpleTuner and ai-toolkit write, and peft's layers of the same names. The programs
differ in three places. A LoKr of two whole factors has no rank: it counts once, alpha or not, but
alpha / r times in PEFT's folders. The lengths in a DoRA are those of rows (out, 1), or of columns
(1, in) as earlier versions of LyCORIS have it. ComfyUI divides rows by |W| instead of |W + D|.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import nn

from ..checkpoint.packed_linear import PackedLinear
from .lora_layers import Pair

LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


class _Change(nn.Module):
    """A change of the weight by factors, which count alpha / rank times; rank 0: once."""

    alpha: float
    rank: int
    changed = ("weight",)

    @property
    def strength(self) -> float:
        return self.alpha / self.rank if self.rank else 1.0

    def changes(self) -> dict[str, torch.Tensor]:
        """{name of a parameter of the layer: its change at scale 1, in float32}"""
        return {"weight": self.delta()}

    def stored(self) -> dict[str, torch.Tensor]:
        """{ending of a key: tensor}, as LyCORIS writes them"""
        alpha = {".alpha": torch.tensor(self.alpha)} if self.rank else {}
        return {f".{name}": tensor for name, tensor in self.factors.items()} | alpha


class Kronecker(_Change):
    """LoKr: w1 (a, b) and w2 (c, d) of a linear layer (a c, b d), each in one or two matrices."""

    method = "LoKr"

    def __init__(self, factors: dict[str, torch.Tensor], alpha: float = 1.0):
        super().__init__()
        self.factors = nn.ParameterDict(factors)
        self.alpha = float(alpha)
        self.rank = next((len(t) for name, t in factors.items() if name.endswith("_b")), 0)

    def matrices(self, number: int) -> list[torch.Tensor]:
        """The first or second factor: [(a, b)] or [(a, r), (r, b)]"""
        return [self.factors[n] for n in LOKR if f"w{number}" in n and n in self.factors]

    def delta(self) -> torch.Tensor:
        """-> (out, in) the change of the weight at scale 1, in float32"""
        w1, w2 = (
            reduce(torch.matmul, (m.detach().float() for m in self.matrices(n))) for n in (1, 2)
        )
        return self.strength * torch.kron(w1, w2)

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y plus the share of the change, in y's dtype"""
        w1 = reduce(torch.matmul, (matrix.to(y.dtype) for matrix in self.matrices(1)))
        # the input as a matrix: w2 acts along its rows, w1 along its columns
        inner = x.to(y.dtype).unflatten(-1, (w1.shape[1], -1))  # (..., b, d)
        for matrix in reversed(self.matrices(2)):
            inner = inner @ matrix.to(y.dtype).T  # (..., b, c)
        return y + scale * self.strength * (w1 @ inner).flatten(-2)


class Hadamard(_Change):
    """LoHa: two products of rank r, (out, r) (r, in), multiplied number by number."""

    method = "LoHa"

    def __init__(self, factors: dict[str, torch.Tensor], alpha: float):
        super().__init__()
        self.factors = nn.ParameterDict(factors)
        self.alpha, self.rank = float(alpha), len(factors["hada_w1_b"])

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        a, b, c, d = (self.factors[name].to(dtype) for name in LOHA)
        return self.strength * ((a @ b) * (c @ d))

    def delta(self) -> torch.Tensor:
        """-> (out, in) the change of the weight at scale 1, in float32"""
        return self.weight(torch.float32).detach()

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y plus the share of the change, in y's dtype"""
        return y + scale * F.linear(x.to(y.dtype), self.weight(y.dtype))


class Decomposed(nn.Module):
    """DoRA: the rows of W + D get the lengths (out, 1), or its columns the lengths (1, in).

    A scale other than 1 is a share of the way from W to W', as in LyCORIS and ComfyUI.
    """

    method, changed = "DoRA", ("weight",)

    def __init__(self, product: Pair | _Change, magnitude: torch.Tensor, layer: nn.Module):
        super().__init__()
        self.product, self.magnitude = product, nn.Parameter(magnitude)
        self.by_row = magnitude.shape[1] == 1
        self._layer = (layer,)  # careful: a tuple, so that the layer is no part of its adapter
        self._gain = None

    @property
    def alpha(self) -> float:
        return self.product.alpha

    @property
    def rank(self) -> int:
        return self.product.rank

    def weight(self) -> torch.Tensor:
        """-> (out, in) the weight W of the layer, in float32"""
        (layer,) = self._layer
        packed = isinstance(layer, PackedLinear)
        return layer.unpacked(torch.float32) if packed else layer.weight.detach().float()

    @torch.no_grad()
    def gain(self) -> torch.Tensor:
        """-> by what W + D is multiplied; computed once, at the first call"""
        if self._gain is None:
            # careful: not when it is attached, because a streamed layer has no weight then
            changed = self.weight() + self.product.delta()
            norm = changed.norm(dim=1 if self.by_row else 0, keepdim=True)
            eps = torch.finfo(torch.float32).eps  # a row of zeros remains one
            self._gain = self.magnitude.float() / norm.clamp(min=eps)
        return self._gain

    def delta(self) -> torch.Tensor:
        """-> (out, in) the change of the weight at scale 1, in float32"""
        weight = self.weight()
        return self.gain() * (weight + self.product.delta()) - weight

    def changes(self) -> dict[str, torch.Tensor]:
        """{name of a parameter of the layer: its change at scale 1, in float32}"""
        return {"weight": self.delta()}

    def stored(self) -> dict[str, torch.Tensor]:
        """{ending of a key: tensor}, as LyCORIS writes them"""
        return self.product.stored() | {".dora_scale": self.magnitude}

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y plus the share of the change, in y's dtype

        y must be what the layer itself returns, without the share of another adapter.
        """
        (layer,) = self._layer
        bias = 0 if layer.bias is None else layer.bias.to(y.dtype)
        gain = self.gain().flatten().to(y.dtype)
        if self.by_row:
            plain = y - bias
            return y + scale * (gain * self.product(x, plain) - plain)
        # columns belong to inputs: the layer is called again, on inputs that are multiplied
        plain = layer.forward(gain * x.to(y.dtype)) - bias
        return y + scale * (self.product(gain * x.to(y.dtype), plain) - (y - bias))


# --- from the tensors of a file


def read_change(
    parts: dict[str, torch.Tensor], shape, alpha: float | None, stated_rank: int | None
) -> Kronecker | Hadamard:
    """The factors of one layer -> LoKr or LoHa. Raises ValueError, one line without the layer.

    alpha: None for the rank. stated_rank: what PEFT's config says; None: nothing.
    """
    names = [name for name in (*LOKR, *LOHA) if name in parts]
    lokr = [name for name in names if name in LOKR]
    if lokr and lokr != names or parts.keys() & {"A", "B", "B_bias", "weight"}:
        raise ValueError(f"must have the parts of one kind of change, got {sorted(parts)}")
    factors = {name: parts[name] for name in names}
    sizes = _sizes(factors, ("w1", "w2"), whole=bool(lokr))
    (a, b), (c, d) = sizes
    fits = (a * c, b * d) == tuple(shape) if lokr else (a, b) == (c, d) == tuple(shape)
    if not fits:
        raise ValueError(
            f"must have factors for a layer of {list(shape)}, got {[a, b]} and {[c, d]}; "
            "is this file for another model?"
        )
    ranks = {len(t) for name, t in factors.items() if name.endswith("_b")}
    if len(ranks) > 1 or (stated_rank and ranks - {stated_rank}):
        raise ValueError(f"must have one rank, got {sorted(ranks | {stated_rank} - {None})}")
    if ranks:
        alpha = float(*ranks) if alpha is None else alpha
    elif alpha is not None and stated_rank:  # PEFT's folder, see above
        factors["lokr_w1"] = alpha / stated_rank * factors["lokr_w1"].float()
    change = Kronecker(factors, alpha or 1.0) if lokr else Hadamard(factors, alpha)
    _demand_finite(change)
    return change


def _sizes(factors: dict[str, torch.Tensor], numbers: tuple, whole: bool) -> list[tuple[int, int]]:
    """The sizes of both factors, each one matrix or a product of two. Raises ValueError."""
    sizes = []
    kind = "lokr" if whole else "hada"
    for number in numbers:
        one, two = f"{kind}_{number}", (f"{kind}_{number}_a", f"{kind}_{number}_b")
        present = [name for name in (one, *two) if name in factors]
        if present not in ([one], list(two)):
            wanted = f"{one} or {' and '.join(two)}" if whole else " and ".join(two)
            raise ValueError(f"must have {wanted}, got {', '.join(present) or 'none of them'}")
        matrices = [factors[name] for name in present]
        if any(m.ndim != 2 or not m.numel() for m in matrices):
            shapes = ", ".join(str(list(m.shape)) for m in matrices)
            raise ValueError(f"must have matrices as {number}, got {shapes}")
        if len(matrices) == 2 and matrices[0].shape[1] != len(matrices[1]):
            shapes = " and ".join(str(list(m.shape)) for m in matrices)
            raise ValueError(f"must have matrices that can be multiplied as {number}, got {shapes}")
        sizes.append((matrices[0].shape[0], matrices[-1].shape[1]))
    return sizes


def _demand_finite(change: Kronecker | Hadamard) -> None:
    bound = abs(change.strength)
    for name, factor in change.factors.items():
        bound *= largest(factor, name) * (len(factor) if name.endswith("_b") else 1)
    if not bound <= torch.finfo(torch.float32).max:
        raise ValueError(f"must have a product within float32, got up to {bound:.0e}")


def read_magnitude(magnitude: torch.Tensor, shape) -> torch.Tensor:
    """The lengths of a DoRA as one column or one row. Raises ValueError."""
    out, in_ = shape
    if magnitude.shape not in ((out,), (out, 1), (1, in_)):
        raise ValueError(
            f"must have a DoRA magnitude of [{out}], [{out}, 1] or [1, {in_}], "
            f"got {list(magnitude.shape)}"
        )
    largest(magnitude, "DoRA magnitude")
    return magnitude.unsqueeze(1) if magnitude.ndim == 1 else magnitude


def largest(numbers: torch.Tensor, name: str) -> float:
    """The largest absolute value. Raises ValueError unless all are finite real numbers."""
    if not numbers.is_floating_point() or not torch.isfinite(numbers).all():
        raise ValueError(f"must have finite real numbers in its {name}; fetch the file again")
    return numbers.abs().max().item() if numbers.numel() else 0.0
