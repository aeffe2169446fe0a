"""Single files, as ComfyUI and others ship them: what a file is, its weights put in their place.

    part            layouts                                             read by

    transformer     official names, with or without a prefix            checkpoint.load_into
                    the same in fp8, any dialect                        quantize.load_fp8
                    GGUF                                                gguf.load_gguf
    vae             official names, or those of the video model Wan     load_into, renamed
    text_encoder    official names, or those of later transformers      load_into, renamed
                    the same in fp8                                     fp8_tower.load_fp8_tower

A file holds weights only: what they are the weights of is said by the configs of an official folder
(a few hundred bytes each). Nothing is guessed: a file is what the names in it say, and every tensor
has to have its place.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ..adapt.streaming import stream_mmdit, stream_text_encoder
from ..checkpoint import load_into
from ..checkpoint.packed_linear import PREFIXES, strip_prefix
from ..checkpoint.stored_form import stored_form
from ..files import CheckpointError, shorten
from ..mmdit import MMDiT
from ..text_encoder import TextEncoder
from ..vae import VAE
from .fp8 import load_fp8
from .fp8_text_encoder import load_fp8_tower
from .gguf import load_gguf
from .recognise import FP8, GGUF, WAN_NAMES, ZERO_COND_T, SingleFile, demand

VAE_PREFIXES = ("first_stage_model.", "vae.", "model.")
TEXT_PREFIXES = ("text_encoders.qwen25_7b.transformer.", "text_encoder.")
LANGUAGE_ONLY = ("visual.", "lm_head.")  # what the text encoder leaves on disk

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


def load_transformer(
    mmdit: MMDiT, file: str | Path, dtype: torch.dtype, stream: bool = False, device="cpu"
):
    """Fill an MMDiT on the meta device from a single file of any layout -> what was loaded

    stream: its blocks stay on disk. A file that is marked as one of Edit-2511 sets zero_cond_t.
    Raises CheckpointError, one line, that says what the file is if it is something else.
    """
    single, before = demand(file, "transformer"), mmdit.config
    names = _names(single, PREFIXES)
    _demand_width(mmdit, single, names, "img_in.weight")
    if single.zero_cond_t:
        mmdit.config = replace(before, zero_cond_t=True)
    try:
        if single.layout == GGUF:
            return load_gguf(mmdit, single.file, dtype, stream, device)
        if single.layout in FP8:
            return load_fp8(mmdit, single.file, dtype, stream, device)
        names.pop(ZERO_COND_T, None)
        if stream:
            stream_mmdit(mmdit, single.file, dtype, device, names=names)
        else:
            load_into(mmdit, single.file, dtype, names=names)
            mmdit.to(device)
    except CheckpointError:
        mmdit.config = before
        raise
    return single


def load_vae(vae: VAE, file: str | Path, dtype: torch.dtype) -> SingleFile:
    """The same for the VAE, under official names or under those of Wan."""
    single = demand(file, "vae")
    if single.layout in FP8 or single.layout == GGUF:
        raise CheckpointError(f"{file} is quantised; a VAE is read in bfloat16 or finer alone")
    rename = _from_wan(vae) if single.layout == WAN_NAMES else str
    names = _names(single, VAE_PREFIXES, rename)
    _demand_width(vae, single, names, "encoder.conv_in.weight")
    load_into(vae, single.file, dtype, names=names)
    return single


def load_text_encoder(
    text_encoder: TextEncoder,
    file: str | Path,
    dtype: torch.dtype,
    stream: bool = False,
    device="cpu",
) -> SingleFile:
    """The same for the text tower; a vision tower and lm_head may be there and are not read."""
    single = demand(file, "text_encoder")
    names = _names(single, TEXT_PREFIXES, _earlier_name)
    _demand_width(text_encoder, single, names, "model.norm.weight")
    if single.layout == GGUF:
        raise CheckpointError(f"{file}: a text encoder is not read from GGUF, only transformers")
    if single.layout in FP8:
        _load_fp8(text_encoder, single, names, dtype, stream, device)
    elif stream:
        stream_text_encoder(text_encoder, single.file, dtype, device, names)
    else:
        load_into(text_encoder, single.file, dtype, LANGUAGE_ONLY, names)
        text_encoder.to(device)
    return single


def _load_fp8(text_encoder, single: SingleFile, names: dict, dtype, stream, device) -> None:
    keys = {name: key for name, key in names.items() if not name.startswith(LANGUAGE_ONLY)}
    where = {name: single.where[key] for name, key in keys.items()}
    try:
        load_fp8_tower(text_encoder, where, keys, dtype, stream, device)
    except CheckpointError as error:
        raise CheckpointError(f"{single.file}: {error}") from None


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


def _from_wan(vae: VAE) -> Callable[[str], str]:
    official = {wan: key for key, wan in wan_names(vae).items()}
    # a name that Wan does not have stays unknown, be it official: a file is written in one of both
    return lambda wan: official.get(wan, f"{wan} (a name of Wan)")


def _demand_width(network: nn.Module, single: SingleFile, names: dict[str, str], key: str) -> None:
    """Raises CheckpointError for a file of a model of another size than the configs say."""
    shape = single.where[names[key]].shape if key in names else ()
    if shape and shape[0] != (width := stored_form(network)[key][0]):
        raise CheckpointError(
            f"{single.file} is of a model that is {shape[0]} wide, by config.json it is {width}; "
            "take the folder of configs of this very model (--weights)"
        )


def _names(single: SingleFile, prefixes, rename: Callable[[str], str] = str) -> dict[str, str]:
    """-> {official name: key in the file}. Raises CheckpointError where two keys have one name."""
    names = {}
    try:
        for name, key in strip_prefix(single.where, prefixes).items():
            if (other := names.setdefault(rename(name), key)) != key:
                raise CheckpointError(f"{shorten([other, key])} are the same tensor; keep one")
    except CheckpointError as error:
        raise CheckpointError(f"{single.file}: {error}") from None
    return names


def _earlier_name(name: str) -> str:
    for later, official in LATER:
        if name.startswith(later):
            return official + name.removeprefix(later)
    return name
