"""Full training: every weight of the MMDiT, by the same objectives as an adapter.

In float32, because an update of 1e-5 is lost in 16 bits. AdamW's moments and the average make it
five numbers a weight with the gradient: at official size 409 GB, which is why there are adapters.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from .loop import Recipe, Run
from .lora import Choices, Examples, Flow, loss_of, origin_of
from .run_folder import RunFolder


def demand_trainable(mmdit: nn.Module) -> None:
    """Raises ValueError unless every weight is float32 and in memory."""
    types = {str(p.dtype).removeprefix("torch.") for p in mmdit.parameters()}
    if not isinstance(mmdit.transformer_blocks, nn.ModuleList):
        types.add("streamed blocks")
    if types != {"float32"} or any(p.is_meta for p in mmdit.parameters()):
        raise ValueError(
            f"full training must have float32 weights in memory, got {', '.join(sorted(types))}; "
            "load them so, or train a LoRA"
        )


def train_whole(
    mmdit: nn.Module,
    loss_at: Callable[[int], torch.Tensor],
    recipe: Recipe,
    choices: Choices,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train every weight by any objective -> the finished run, to be continued like an adapter's

    loss_at: from a batch's number to its loss, as Run.fit needs it.
    """
    demand_trainable(mmdit)
    mmdit.requires_grad_(True)
    run = Run(mmdit, recipe, folder, origin=origin, settings=asdict(choices))
    run.fit(loss_at, **fit)
    return run


def train(
    mmdit: nn.Module,
    examples: Examples,
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Flow,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train every weight by flow matching -> the finished run"""
    origin = origin_of(examples, origin)
    loss_at = loss_of(mmdit, examples, empty, recipe, settings)
    return train_whole(
        mmdit, loss_at, recipe, settings, folder, origin, accumulate=settings.accumulate, **fit
    )
