"""Open weights of any layout: a folder, or single files as ComfyUI and others ship them.

    part            layouts                                             class

    transformer     official names, with or without a prefix            Weights
                    the same in fp8, any dialect                        Fp8Weights
                    the same in ComfyUI's other formats                 ComfyWeights
                    GGUF                                                GGUFWeights
    vae             official names, or those of the video model Wan     Weights
    text_encoder    official names, or those of later transformers      Weights
    and vision      the same in fp8                                     Fp8Weights

A file holds weights only: what they are the weights of is said by the configs of an official folder
(a few hundred bytes each). Nothing is guessed: a file is what the names in it say, and every tensor
has to have its place.
"""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..checkpoint.fill import Weights, name_of
from ..checkpoint.headers import find_tensors
from ..checkpoint.model_folder import FOLDER, NETWORKS
from ..checkpoint.stored_form import stored_form, stored_tensor
from ..checkpoint.write import save_file
from ..files import CheckpointError, whole_file
from ..vae import VAE
from . import ZERO_COND_T
from .comfy import comfy_weights
from .gguf import gguf_weights
from .recognise import (
    FP8,
    GGUF,
    SingleFile,
    demand,
    has_wan_names,
    layout_of,
    official_names,
    recognise,
)

# the tensor whose first size is the width of a network
WIDTHS = {
    "transformer": "img_in.weight",
    "vae": "encoder.conv_in.weight",
    "text_encoder": "model.norm.weight",
    "vision": "patch_embed.proj.weight",
}
# official names of the VAE, and the pieces that stand for them in files of Wan, whose layers have
# numbers instead of names. In this order: conv1 means another layer on the right than on the left.
WAN = (
    (".norm1.", ".residual.0."), (".conv1.", ".residual.2."),
    (".norm2.", ".residual.3."), (".conv2.", ".residual.6."), (".conv_shortcut.", ".shortcut."),
    (".mid_block.resnets.0.", ".middle.0."), (".mid_block.attentions.0.", ".middle.1."),
    (".mid_block.resnets.1.", ".middle.2."), (".down_blocks.", ".downsamples."),
    (".conv_in.", ".conv1."), (".norm_out.", ".head.0."), (".conv_out.", ".head.2."),
    ("post_quant_conv.", "conv2."), ("quant_conv.", "conv1."),
)  # fmt: skip
# names of transformers from 4.52 on, and the official ones
LATER = (("model.language_model.", "model."), ("model.visual.", "visual."))
LM_HEAD = "lm_head.weight"  # scores of the next token, in a text encoder that writes
VISUAL = "visual."  # prefix of the vision tower's names in the files of the text encoder
# what those files also hold, and others leave on disk
UNUSED = re.compile(r"lm_head\.|(text_encoders\.)?(qwen25_7b\.)?logit_scale$")


def open_weights(source, network: nn.Module, fast: bool = False) -> Weights:
    """A folder, a list of files or a single file of any layout -> where a network's tensors lie.

    fast: multiply in fp8 where file and device allow it, see Fp8Linear. Raises CheckpointError, one
    line, that says what a single file is if it is something else.
    """
    part = next(part for part, (kind, _) in NETWORKS.items() if isinstance(network, kind))
    if isinstance(source, (str, Path)) and not Path(source).is_dir():
        single = demand(source, FOLDER.get(part, part))
    else:
        single = recognise(Path(name_of(source)), find_tensors(source))
    return _weights(name_of(source), single, part, network, fast)


def _weights(source: str, single: SingleFile, part: str, network, fast: bool) -> Weights:
    try:
        rename = _rename(single, part, network)
        names = official_names(single.where, FOLDER.get(part, part), rename)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    names.pop(ZERO_COND_T, None)
    layout = GGUF if single.gguf else layout_of({key: single.where[key] for key in names.values()})
    if layout == GGUF and part != "transformer":
        raise CheckpointError(f"{source} is a GGUF file; only transformers are read from GGUF")
    if layout in FP8 and part == "vae":
        raise CheckpointError(f"{source} is quantised; a VAE is read in bfloat16 or finer alone")
    if single.file.is_file():
        _demand_width(source, network, single, names, WIDTHS[part])
    if layout == GGUF:
        weights = gguf_weights(source, single.gguf, names, network)
    elif layout in FP8:
        weights = comfy_weights(source, single.where, names, network, fast)
    else:
        weights = Weights(source, {name: single.where[key] for name, key in names.items()}, layout)
    weights.zero_cond_t = single.zero_cond_t if part == "transformer" else None
    return weights


def _rename(single: SingleFile, part: str, network: nn.Module) -> Callable[[str], str | None]:
    """What makes official names of the file's, and None of those that the network lacks"""
    if part == "text_encoder":
        writes = hasattr(network, "lm_head")
        return lambda name: name if writes and name == LM_HEAD else _language_name(name)
    if part == "vision":
        return _vision_name
    return _from_wan(network) if part == "vae" and has_wan_names(single.where) else str


def wan_names(vae: VAE) -> dict[str, str]:
    """-> {official name of each stored tensor: its name in files of Wan}"""
    pieces, number = [], 0
    for level, block in enumerate(vae.decoder.up_blocks):  # nested here, one flat list there
        for kind in ("resnets", "upsamplers"):
            for i in range(len(getattr(block, kind))):
                pieces.append((f".up_blocks.{level}.{kind}.{i}.", f".upsamples.{number}."))
                number += 1
    table = {}
    for key in stored_form(vae):
        table[key] = key
        for official, wan in [*WAN, *pieces]:
            table[key] = table[key].replace(official, wan)
    return table


def save_wan(vae: VAE, file: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write the VAE as one .safetensors file under the names of Wan, as ComfyUI reads it.

    Whole or not at all. Raises CheckpointError.
    """
    file = Path(file)
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file} must end in .safetensors")
    tensors = {wan: stored_tensor(vae, key, dtype) for key, wan in wan_names(vae).items()}
    try:
        with whole_file(file) as partial:
            save_file(tensors, partial, metadata={"format": "pt"})
    except OSError as error:
        raise CheckpointError(
            f"cannot write {file}: {error}; make room there or choose another folder"
        ) from None


def _from_wan(vae: VAE) -> Callable[[str], str]:
    official = {wan: key for key, wan in wan_names(vae).items()}
    # a name that Wan does not have stays unknown, be it official: a file is written in one of both
    return lambda wan: official.get(wan, f"{wan} (a name of Wan)")


def _demand_width(source: str, network, single: SingleFile, names: dict[str, str], key) -> None:
    """Raises CheckpointError for a file of a model of another size than the configs say."""
    shape = single.where[names[key]].shape if key in names else ()
    if shape and shape[0] != (width := stored_form(network)[key][0]):
        raise CheckpointError(
            f"{source} is of a model that is {shape[0]} wide, by config.json it is {width}; "
            "take the folder of configs of this very model (--weights)"
        )


def _language_name(name: str) -> str | None:
    name = _earlier_name(name)
    return None if name.startswith(VISUAL) or UNUSED.match(name) else name


def _vision_name(name: str) -> str | None:
    name = _earlier_name(name)
    return name.removeprefix(VISUAL) if name.startswith(VISUAL) else None


def _earlier_name(name: str) -> str:
    for later, official in LATER:
        if name.startswith(later):
            return official + name.removeprefix(later)
    return name
