"""`qwenimage validate` on a folder of InstantX's control network: ours beside diffusers'."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ...adapt.control_files import INSTANTX, recognise
from ...controlnet import ControlNet, ControlNetConfig
from ...files import CheckpointError
from ..record import record, run_ours
from ..reference import reference_controlnet, run
from ..tolerances import within
from ..trace import compare
from .checkpoints import Checkpoints, Tensors
from .report import Row, RowBuilder, summary

GRID, TEXT = (1, 16, 16), 20  # tokens: 256x256 pixels, a short prompt
SIGMA = 0.6875


def is_control(folder: Path) -> bool:
    """Whether a folder holds a control network instead of a model"""
    return not (folder / "model_index.json").exists() and any(folder.glob("*.safetensors"))


@torch.no_grad()
def control_rows(checkpoints: Checkpoints) -> Iterator[Row]:
    """Yields a row for the network on random inputs; one of both is in memory at a time

    Raises CheckpointError for a blockwise network, of which neither library has a reference.
    """
    for folder in dict.fromkeys((checkpoints.ours, checkpoints.theirs)):
        _, kind, _ = recognise(folder)
        if kind != INSTANTX:
            raise CheckpointError(
                f"{folder} must hold InstantX's control network to be compared with diffusers', "
                f"got {kind}; diffusers has no such network, try `qwenimage info` on its file"
            )
    file = "config.json"
    ours, theirs = (
        ControlNetConfig.from_json(folder / file)
        for folder in (checkpoints.ours, checkpoints.theirs)
    )
    builder = RowBuilder("control", partial(_differing, checkpoints))
    bound = within("controlnet", checkpoints.dtype)
    inputs, recorded = _inputs(ours, checkpoints), []
    for folder, empty, call in (
        (checkpoints.ours, partial(_ours, ours), run_ours),
        (checkpoints.theirs, partial(reference_controlnet, theirs), run),
    ):
        network = Tensors(folder, checkpoints.dtype, checkpoints.device).fill(empty())
        recorded.append(record(network, call, inputs))
        network.to("meta")
    traced = compare(*recorded, bound)
    yield builder.worst(f"{ours.num_layers} layers, every module", [summary(traced)], bound)


def _ours(config: ControlNetConfig) -> nn.Module:
    with torch.device("meta"):
        return ControlNet(config)


def _differing(checkpoints: Checkpoints, module: str) -> list[str]:
    if checkpoints.ours == checkpoints.theirs:
        return []
    both = [
        Tensors(folder, checkpoints.dtype, checkpoints.device)
        for folder in (checkpoints.ours, checkpoints.theirs)
    ]
    keys = [key for key in both[0].places if key.startswith(f"{module}.")]
    ours, theirs = (tensors.stored(keys) for tensors in both)
    return [key for key in keys if not torch.equal(ours[key], theirs[key])]


def _inputs(config: ControlNetConfig, checkpoints: Checkpoints) -> dict:
    generator, (_, rows, cols) = torch.Generator().manual_seed(0), GRID

    def noise(*shape) -> torch.Tensor:
        drawn = torch.randn(shape, generator=generator)
        return drawn.to(checkpoints.device, checkpoints.dtype)

    return {
        "img": noise(1, rows * cols, config.in_channels),
        "control": noise(1, rows * cols, config.control_channels),
        "txt": noise(1, TEXT, config.joint_attention_dim),
        "sigma": torch.tensor([SIGMA], device=checkpoints.device, dtype=checkpoints.dtype),
        "grid": GRID,
    }
