"""Differential LoRA: what two sets of pictures differ in, and nothing that they share.

First an adapter learns the pictures that are not wanted. With it in place, a second one learns the
wanted pictures of the same captions: it need only learn the difference. The first one is then taken
off. Of several such adapters, adapt/lora_join.py makes the mean.
"""

from pathlib import Path

import torch
from torch import nn

from .dataset import Encoded
from .loop import Recipe, Run
from .lora import Settings
from .lora import train as train_lora
from .run_folder import RunError
from .state import digest


def train(
    mmdit: nn.Module,
    unwanted: list[Encoded],
    wanted: list[Encoded],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Settings,
    folder: str | Path,
    origin: str = "",
    **fit,
) -> Run:
    """Train one adapter after the other -> the second run, its adapter alone on the network

    Both runs lie in the folder, `unwanted` and `wanted`; what was stopped continues in the one
    where it was. Raises RunError unless the pictures come in pairs of equal sizes.
    """
    sizes = [[tuple(one.latents.shape) for one in each] for each in (unwanted, wanted)]
    if sizes[0] != sizes[1]:
        raise RunError(
            f"wanted and unwanted pictures must come in pairs of one size, got {len(unwanted)} "
            f"and {len(wanted)} pictures; give both the same captions and sizes"
        )
    folder = Path(folder)
    first = train_lora(mmdit, unwanted, empty, recipe, settings, folder / "unwanted", origin, **fit)
    if first.step < recipe.steps:  # stopped by `until`
        return first
    first.use_average()
    first.model.requires_grad_(False)
    try:
        origin = f"{origin} {digest(first.model)}"
        return train_lora(mmdit, wanted, empty, recipe, settings, folder / "wanted", origin, **fit)
    finally:
        first.model.remove()
