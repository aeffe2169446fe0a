"""Several adapters as one: their products added, each with a weight.

    w1 B1 A1 + w2 B2 A2 = [w1 B1, w2 B2] [A1; A2]

Exact, because they are joined along the rank. Averaging the matrices themselves would not be: the
product of two means is not the mean of two products.
"""

from pathlib import Path

import torch
from torch import nn

from .lora import LoRA, load
from .lora_dialects import LoRAError
from .lora_layers import Pair


def join(model: nn.Module, files: list[Path], weights: list[float] | None = None) -> LoRA:
    """Attach the weighted sum of the files' adapters to the model; weights None: their mean

    Raises LoRAError for files that hold more than pairs of matrices, and as `load` does.
    """
    weights = [1 / len(files)] * len(files) if weights is None else weights
    if len(weights) != len(files):
        raise LoRAError(f"weights must be {len(files)}, one a file, got {len(weights)}")
    parts: dict[str, list] = {}
    for file, weight in zip(files, weights):
        adapter = load(model, file).adapter
        try:
            for name, part in adapter.named_parts():
                if not isinstance(part, Pair):
                    raise LoRAError(f"{file} must hold pairs of matrices alone, got more at {name}")
                scale = weight * part.alpha / part.rank
                parts.setdefault(name, []).append((part.lora_A.data, scale * part.lora_B.data))
        finally:
            adapter.remove()
    return LoRA(model, {name: _joined(each) for name, each in parts.items()})


def _joined(matrices: list[tuple[torch.Tensor, torch.Tensor]]) -> Pair:
    A = torch.cat([A.float() for A, _ in matrices])
    B = torch.cat([B.float() for _, B in matrices], dim=1)
    return Pair(A, B, alpha=len(A))
