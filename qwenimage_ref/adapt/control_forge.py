"""Control networks of random numbers in exactly the official layout, beside `checkpoint.forge`."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from ..checkpoint.forge import DTYPE, Shard, forge_shards, missing_shards, written_whole
from ..checkpoint.shards import SHARD_BYTES, shard_layout
from ..config import MMDiTConfig
from ..controlnet import ControlNet, ControlNetConfig
from ..files import CheckpointError
from ..repository import ROOT
from .control import BlockwiseConfig, BlockwiseControlNet

MASK_CHANNELS = 4  # numbers of a mask in a token
CLASS = "QwenImageControlNetModel"  # diffusers' name for InstantX's
BLOCKWISE, INSTANTX = "model", "diffusion_pytorch_model"  # names of the files
NETWORKS = {  # layers, or None for as many as the transformer has; channels of a mask
    "canny": (BLOCKWISE, None, 0),
    "depth": (BLOCKWISE, None, 0),
    "inpaint": (BLOCKWISE, None, MASK_CHANNELS),
    "union": (INSTANTX, 5, 0),
    "inpainting": (INSTANTX, 6, MASK_CHANNELS),
}


def empty_control(name: str, mmdit: MMDiTConfig) -> nn.Module:
    """One of NETWORKS for a transformer of this config, without weights"""
    stem, layers, mask = NETWORKS[name]
    with torch.device("meta"):
        if stem == BLOCKWISE:
            numbers = mmdit.num_layers, mmdit.inner_dim, mmdit.in_channels, mask
            return BlockwiseControlNet(BlockwiseConfig(*numbers))
        own = {"num_layers": min(layers, mmdit.num_layers), "extra_condition_channels": mask}
        return ControlNet(ControlNetConfig.from_dict(mmdit.to_dict() | own))


def forge_control(
    folder,
    name: str,
    mmdit: MMDiTConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write, or go on writing, one of NETWORKS with random numbers; returns the bytes written now

    mmdit: of the transformer that it is for; None: the official one. Drawn and refused as by
    `checkpoint.forge.forge`.
    """
    folder, mmdit = Path(folder).expanduser().resolve(), mmdit or MMDiTConfig.official()
    if folder.is_relative_to(ROOT):
        raise CheckpointError(f"{folder} lies in the repository; choose a folder outside it")
    network, stem = empty_control(name, mmdit), NETWORKS[name][0]

    def write() -> int:
        layout = shard_layout(network, SHARD_BYTES, stem, DTYPE).items()
        shards = [Shard(folder / file, *parts) for file, parts in layout]
        missing = missing_shards(folder, shards)
        if isinstance(network, ControlNet):
            network.config.to_json(folder / "config.json", _class_name=CLASS)
        return forge_shards(shards, missing, seed, progress)

    numbers = {"seed": seed, "control": name, "transformer": asdict(mmdit)}
    return written_whole(folder, numbers, write)
