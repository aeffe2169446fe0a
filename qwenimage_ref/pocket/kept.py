"""Tensors that training needs again and again: computed once, chunk by chunk, kept in a folder."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..checkpoint.write import save_file
from ..files import whole_file


class Chunks:
    """compute(i) -> the tensors of chunk i by name, when it is first needed"""

    def __init__(self, folder: Path, compute: Callable[[int], dict[str, torch.Tensor]]):
        self.folder, self.compute = folder, compute
        self.loaded: dict[int, dict[str, torch.Tensor]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        if i not in self.loaded:
            file = self.folder / f"{i:03d}.safetensors"
            if not file.exists():
                tensors = self.compute(i)
                with whole_file(file) as partial:
                    save_file(tensors, partial)
            self.loaded[i] = load_file(file)
        return self.loaded[i]
