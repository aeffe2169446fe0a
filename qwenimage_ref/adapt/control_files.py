"""Files of control networks: recognised by their header, and loaded for a given transformer.

A file needs no config: which kind it is, how deep and whether it reads a mask is said by the names
and shapes in it. ComfyUI calls blockwise networks model patches; their files are the same.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from ..checkpoint import locate
from ..checkpoint.fill import Weights, fill, name_of
from ..checkpoint.headers import Place, find_tensors
from ..controlnet import ControlNet, ControlNetConfig
from ..files import CheckpointError
from ..mmdit import MMDiT
from .control import BlockwiseConfig, BlockwiseControlNet
from .streaming import stream

INSTANTX, BLOCKWISE = "InstantX's control network", "a blockwise control network"
EMBEDDER = {INSTANTX: "controlnet_x_embedder.weight", BLOCKWISE: "img_in.weight"}  # picture's
# names of both, all of which have to occur; FLUX's control networks have the first alone
MARKS = {
    INSTANTX: (r"(^|\.)controlnet_x_embedder\.", r"(^|\.)transformer_blocks\.0\.txt_mod\.1\."),
    BLOCKWISE: (r"(^|\.)controlnet_blocks\.0\.y_rms\.",),
}
PREFIXES = ("pipe.blockwise_controlnet.models.0.", "controlnet.")  # prefixes in a training's files
# what `--control` and `load` know by name: official files in the local hub cache
HUB_IDS = {
    "canny": "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny",
    "depth": "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Depth",
    "inpaint": "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Inpaint",
    "union": "InstantX/Qwen-Image-ControlNet-Union",
    "inpainting": "InstantX/Qwen-Image-ControlNet-Inpainting",
}


def kind_of(names: Iterable[str]) -> str | None:
    """INSTANTX, BLOCKWISE or None, by the names of a file's tensors"""
    names = list(names)
    for kind, marks in MARKS.items():
        if all(any(re.search(mark, name) for name in names) for mark in marks):
            return kind
    return None


def load(
    source: str | Path, mmdit: MMDiT, dtype=None, device="cpu", streamed: bool = False
) -> ControlNet | BlockwiseControlNet:
    """A file, a folder, a hub id in the local cache or one of HUB_IDS -> a network for `mmdit`

    dtype None: that of the files. streamed: its blocks stay on disk. Raises CheckpointError, one
    line, for files of anything else and for a network of another transformer.
    """
    path, kind, places = recognise(source)
    with torch.device("meta"):
        network = _empty(kind, places, mmdit.config, path)
    weights = Weights(name_of(path), places)
    (stream if streamed else fill)(network, weights, dtype, device)
    return network.eval().requires_grad_(False)


def recognise(source: str | Path) -> tuple[Path, str, dict[str, Place]]:
    """The same sources -> path, kind and places of the tensors under official names, by the header

    Raises CheckpointError, one line, for files that hold no control network.
    """
    path = _path(source)
    places = find_tensors(path)
    kind = kind_of(places)
    if kind is None:
        raise CheckpointError(
            f"{path} must hold a control network of Qwen-Image, by its header it holds none; "
            "see `qwenimage info FILE`"
        )
    return path, kind, {_official(name): place for name, place in places.items()}


def _path(source: str | Path) -> Path:
    if Path(source).is_file():
        return Path(source)
    try:
        return locate.resolve(HUB_IDS.get(str(source), source))
    except FileNotFoundError:
        names = ", ".join(HUB_IDS)
        raise CheckpointError(
            "a control network must be a file, a folder, a model in the local hub cache, or one of "
            f"{names}, got {source}; check the path, or download it first"
        ) from None


def _official(name: str) -> str:
    return next((name.removeprefix(p) for p in PREFIXES if name.startswith(p)), name)


def _empty(kind: str, places: dict, config, path: Path):
    """The network that the shapes in a file describe"""
    numbers = _numbers(kind, places)
    fits = numbers["num_layers"] <= config.num_layers
    if kind == BLOCKWISE:
        fits = numbers["num_layers"] == config.num_layers
    channels = numbers.pop("channels") - config.in_channels
    if numbers["inner_dim"] != config.inner_dim or not fits or channels not in (0, 4):
        raise CheckpointError(
            f"{path} must be made for a transformer of {config.num_layers} blocks that is "
            f"{config.inner_dim} wide, got {kind} of {numbers['num_layers']} blocks, "
            f"{numbers['inner_dim']} wide, that reads {channels} more channels; take the one of "
            "this model"
        )
    if kind == BLOCKWISE:
        return BlockwiseControlNet(
            BlockwiseConfig(
                **numbers, in_channels=config.in_channels, extra_condition_channels=channels
            )
        )
    text = places["txt_in.weight"].shape[-1] if "txt_in.weight" in places else 0
    if text not in (0, config.joint_attention_dim):
        raise CheckpointError(
            f"{path} must be made for text states that are {config.joint_attention_dim} wide, got "
            f"{text}; take the one of this model"
        )
    own = {"num_layers": numbers["num_layers"], "extra_condition_channels": channels}
    return ControlNet(ControlNetConfig.from_dict(config.to_dict() | own))


def _numbers(kind: str, places: dict) -> dict[str, int]:
    """num_layers, inner_dim, and how many numbers a token of the picture has, by the header"""
    stem = "transformer_blocks" if kind == INSTANTX else "controlnet_blocks"
    layers = {name.split(".")[1] for name in places if name.startswith(f"{stem}.")}
    shape = places[EMBEDDER[kind]].shape if EMBEDDER[kind] in places else ()
    width, channels = shape if len(shape) == 2 else (0, 0)
    return {"num_layers": len(layers), "inner_dim": width, "channels": channels}
