"""What an adapter adds to one layer: a product of two small matrices, or a full-sized change."""

import torch
from torch import nn
from torch.func import functional_call

from ..mmdit import RMSNorm


class Pair(nn.Module):
    """A (r, in) and B (out, r) of one linear layer; the product counts alpha / r times."""

    method, changed = "LoRA", ("weight",)  # the parameters of the layer that it changes

    def __init__(self, lora_A: torch.Tensor, lora_B: torch.Tensor, alpha: float):
        super().__init__()
        self.lora_A, self.lora_B = nn.Parameter(lora_A), nn.Parameter(lora_B)
        self.alpha = float(alpha)

    @property
    def rank(self) -> int:
        return len(self.lora_A)

    def delta(self) -> torch.Tensor:
        """-> (out, in) the change of the weight at scale 1, in float32"""
        A, B = self.lora_A.detach().float(), self.lora_B.detach().float()
        return self.alpha / self.rank * (B @ A)

    def changes(self) -> dict[str, torch.Tensor]:
        """{name of a parameter of the layer: its change at scale 1, in float32}"""
        return {"weight": self.delta()}

    def stored(self) -> dict[str, torch.Tensor]:
        """{ending of a key: tensor}, as ComfyUI writes them"""
        alpha = torch.tensor(self.alpha)
        return {
            ".lora_down.weight": self.lora_A, ".lora_up.weight": self.lora_B, ".alpha": alpha,
        }  # fmt: skip

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y plus scale * alpha / r * B (A x), in y's dtype"""
        down = x.to(y.dtype) @ self.lora_A.to(y.dtype).T
        added = torch.addmm(
            y.flatten(0, -2), down.flatten(0, -2), self.lora_B.to(y.dtype).T,
            alpha=scale * self.alpha / self.rank,
        )  # fmt: skip
        return added.view_as(y)


class Difference(nn.Module):
    """A full-sized change of the weight, the bias or both: of a linear layer or of an RMS norm.

    Either layer is linear in its parameters. A change therefore adds what the same layer would
    return with the change in the place of the parameter.
    """

    def __init__(self, weight: torch.Tensor | None, bias: torch.Tensor | None):
        super().__init__()
        self.layer, self.bias = None, None if bias is None else nn.Parameter(bias)
        if weight is not None:
            with torch.device("meta"):
                sizes = weight.shape[::-1]  # (in, out) of a linear layer, (D,) of a norm
                one_axis = weight.ndim == 1
                self.layer = RMSNorm(*sizes) if one_axis else nn.Linear(*sizes, bias=False)
            self.layer.weight = nn.Parameter(weight)

    @property
    def changed(self) -> tuple[str, ...]:
        """The parameters of the layer that it changes"""
        names = {".diff": "weight", ".diff_b": "bias"}
        return tuple(names[ending] for ending in self.stored())

    def changes(self) -> dict[str, torch.Tensor]:
        """{name of a parameter of the layer: its change at scale 1, in float32}"""
        changes = (change.detach().float() for change in self.stored().values())
        return dict(zip(self.changed, changes))

    def stored(self) -> dict[str, torch.Tensor]:
        """{ending of a key: tensor}, as ComfyUI writes them"""
        weight = None if self.layer is None else self.layer.weight
        both = {".diff": weight, ".diff_b": self.bias}
        return {ending: change for ending, change in both.items() if change is not None}

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y plus the share of the change, in y's dtype"""
        if self.layer is not None:
            weight = {"weight": self.layer.weight.to(y.dtype)}
            y = y + scale * functional_call(self.layer, weight, x.to(y.dtype))
        return y if self.bias is None else y + scale * self.bias.to(y.dtype)
