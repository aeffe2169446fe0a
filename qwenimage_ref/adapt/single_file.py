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

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..checkpoint import load_into
from ..files import PICKLES, SHARD_NAME, CheckpointError, Place, read_header, shorten
from ..mmdit import MMDiT
from ..structure import stored_form
from ..text_encoder import TextEncoder
from ..vae import VAE
from .fp8_files import ENDINGS, MARK, MIXED, MUSUBI, PLAIN, SCALED
from .fp8_tower import load_fp8_tower
from .gguf import ZERO_COND, load_gguf
from .gguf_files import read_gguf
from .packed import strip_prefix
from .quantize import load_fp8
from .streaming import stream_mmdit, stream_text_encoder

VAE_PREFIXES = ("first_stage_model.", "vae.", "model.")
TEXT_PREFIXES = ("text_encoders.qwen25_7b.transformer.", "text_encoder.")
LANGUAGE_ONLY = ("visual.", "lm_head.")  # what the text encoder leaves on disk
ZERO_COND_T = "__index_timestep_zero__"  # an empty tensor that marks Edit-2511 (zero_cond_t)
PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # first bytes
EIGHT_BITS = ("F8_E4M3", "F8_E5M2", "I8", "U8")

# the first that some name in an fp8 file ends in tells the dialect
FP8_MARKS = {".comfy_quant": MIXED, ".weight_scale": MIXED, MARK: SCALED, ".scale_weight": MUSUBI}

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

TRANSFORMER, LORA = "the transformer of a Qwen-Image model", "a LoRA"
VAE_, TEXT = "the VAE of Qwen-Image", "Qwen2.5-VL, the text encoder of Qwen-Image"
UNKNOWN = "of no known kind"
OFFICIAL_NAMES, WAN_NAMES = "official names", "the names of Wan"
LATER_NAMES = "the names of transformers from 4.52 on"
GGUF, OTHER_8_BITS = "GGUF", "8-bit numbers of a kind of their own"
FP8 = (*ENDINGS, OTHER_8_BITS)  # layouts that are told apart by fp8_files.py
KINDS = {  # what some name in a file tells that it is; the first that fits counts
    r"lora_|\.lora\.|lokr_|hada_": LORA,
    r"\.qweight$": "of Nunchaku's 4-bit kind (SVDQuant)",
    r"\.quant_state\.": "of bitsandbytes' 4-bit kind",
    r"\.encoded_exponent$": "compressed by DFloat11",
    r"controlnet": "a ControlNet",
    r"input_blocks\.\d|\.time_emb_proj\.|conditioner\.embedders": "a Stable Diffusion model",
    r"double_blocks\.\d+\.img_attn\.qkv|single_transformer_blocks\.": "a FLUX model",
    r"individual_token_refiner": "a HunyuanVideo model",
    r"joint_blocks\.\d": "a Stable Diffusion 3 model",
    r"noise_refiner\.|cap_embedder\.": "a Z-Image or Lumina model",
    r"blocks\.\d+\.cross_attn\.|condition_embedder\.": "the transformer of a Wan model",
    r"transformer_blocks\.\d+\.img_mod\.1\.": TRANSFORMER,
    r"decoder\.upsamples\.\d+\.upsamples\.": "the VAE of Wan 2.2",
    r"decoder\.upsamples\.\d+\.residual\.|decoder\.up_blocks\..*\.norm1\.gamma": VAE_,
    r"decoder\.up\.\d|decoder\.up_blocks\..*\.norm1\.weight": "the VAE of another model",
    r"layers\.\d+\.self_attn\.q_norm\.": "a language model, Qwen3 by its names",
    r"layers\.\d+\.self_attn\.q_proj\.bias": TEXT,
    r"layers\.\d+\.self_attn\.q_proj\.": "a language model other than Qwen2.5-VL",
    r"^blk\.\d": "a language model under llama.cpp's names",
    r"encoder\.block\.\d+\.layer\.": "a T5 text encoder",
    r"text_model\.|resblocks\.\d": "a CLIP model",
}
PARTS = {"transformer": TRANSFORMER, "vae": VAE_, "text_encoder": TEXT}
BELONGS = {what: f"--{part.replace('_', '-')}" for part, what in PARTS.items()} | {LORA: "--lora"}


@dataclass(frozen=True)
class SingleFile:
    """What a file says that it is. `str` of it is what `qwenimage info FILE` prints."""

    file: Path
    what: str  # one of KINDS
    layout: str
    where: dict[str, Place]  # under the names of the file
    zero_cond_t: bool  # marked as one of Edit-2511

    @property
    def types(self) -> dict[str, tuple[int, int]]:
        """{type: (numbers, tensors)} of what is stored, the largest first"""
        found = {}
        for place in self.where.values():
            numbers, tensors = found.get(place.dtype, (0, 0))
            found[place.dtype] = numbers + math.prod(place.shape), tensors + 1
        return dict(sorted(found.items(), key=lambda item: -item[1][0]))

    def __str__(self) -> str:
        layout = f"fp8, {self.layout}" if self.layout in ENDINGS else self.layout
        lines = [f"{self.file}", f"  {self.what}; {layout}"]
        for name, (numbers, tensors) in self.types.items():
            lines.append(f"  {name:13} {numbers:>14,} numbers in {tensors:,} tensors")
        if self.zero_cond_t:
            lines.append("  marked as Edit-2511, whose condition pictures see time 0")
        if self.what in BELONGS:
            lines.append(f"  used with: qwenimage paint {BELONGS[self.what]} FILE")
        return "\n".join(lines)


def describe(file: str | Path) -> SingleFile:
    """What a single file is, by its header alone. Raises CheckpointError, one line."""
    file = Path(file)
    if file.is_dir():
        raise CheckpointError(f"{file} is a folder; name a file in it")
    if not file.is_file():
        raise CheckpointError(f"{file} is missing; is it downloaded?")
    with file.open("rb") as opened:
        first = opened.read(4)
    if file.suffix in PICKLES or first.startswith(PICKLED):
        raise CheckpointError(
            f"{file} is a pickle, which can run any code and is never opened; "
            "ask for a .safetensors or .gguf file"
        )
    if file.suffix == ".gguf" or first == b"GGUF":
        held = read_gguf(file)
        where, marked = held.places, bool(held.metadata.get(ZERO_COND))
    else:
        held, where, marked = None, read_header(file), False
    kinds = (what for mark, what in KINDS.items() if any(re.search(mark, key) for key in where))
    what = next(kinds, UNKNOWN)
    marked = marked or any(key.endswith(ZERO_COND_T) for key in where)
    return SingleFile(file, what, GGUF if held else _layout(what, where), where, marked)


def _layout(what: str, where: dict[str, Place]) -> str:
    if types := {place.dtype for place in where.values()}.intersection(EIGHT_BITS):
        if "F8_E4M3" not in types:
            return OTHER_8_BITS
        ends = [end for end in FP8_MARKS if any(key.endswith(end) for key in where)]
        return FP8_MARKS[ends[0]] if ends else PLAIN
    if what == VAE_ and any("decoder.upsamples." in key for key in where):
        return WAN_NAMES
    if what == TEXT and any("model.language_model." in key for key in where):
        return LATER_NAMES
    return OFFICIAL_NAMES


def demand(file: str | Path, part: str) -> SingleFile:
    """A file of this part, by its header. Raises CheckpointError that says what it is instead."""
    single, wanted = describe(file), PARTS[part]
    if single.what == wanted:
        if SHARD_NAME.search(single.file.name):
            raise CheckpointError(
                f"{file} is one shard of several; give the folder that holds them all instead"
            )
        return single
    if single.what == UNKNOWN:
        names = shorten(list(single.where)) or "none"
        raise CheckpointError(f"{file} is not {wanted}: no tensor has a name of it ({names})")
    remedy = BELONGS.get(single.what)
    remedy = f"it goes with {remedy}" if remedy else "only parts of Qwen-Image are read here"
    raise CheckpointError(f"{file} is {single.what}, not {wanted}; {remedy}")


def load_transformer(
    mmdit: MMDiT, file: str | Path, dtype: torch.dtype, stream: bool = False, device="cpu"
):
    """Fill an MMDiT on the meta device from a single file of any layout -> what was loaded

    stream: its blocks stay on disk. A file that is marked as one of Edit-2511 sets zero_cond_t.
    Raises CheckpointError, one line, that says what the file is if it is something else.
    """
    single, before = demand(file, "transformer"), mmdit.config
    if single.zero_cond_t:
        mmdit.config = replace(before, zero_cond_t=True)
    try:
        if single.layout == GGUF:
            return load_gguf(mmdit, single.file, dtype, stream, device)
        if single.layout in FP8:
            return load_fp8(mmdit, single.file, dtype, stream, device)
        names = strip_prefix(single.where)
        names.pop(ZERO_COND_T, None)
        if stream:
            stream_mmdit(mmdit, single.file, dtype, device, names=names)
        else:
            load_into(mmdit, [single.file], dtype, names=names)
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
    names = strip_prefix(single.where, VAE_PREFIXES)
    if single.layout == WAN_NAMES:
        official = {wan: key for key, wan in wan_names(vae).items()}
        names = _renamed(names, lambda wan: official.get(wan, f"{wan} (a name of Wan)"))
    load_into(vae, [single.file], dtype, names=names)
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
    names = _renamed(strip_prefix(single.where, TEXT_PREFIXES), _earlier_name)
    if single.layout == GGUF:
        raise CheckpointError(f"{file}: a text encoder is not read from GGUF, only transformers")
    if single.layout in FP8 and stream:
        raise CheckpointError(
            f"{file} is fp8, which of a text encoder is not left on disk; do without streaming, "
            "or take a file in bfloat16"
        )
    if single.layout in FP8:
        _load_fp8(text_encoder, single, names, dtype, device)
    elif stream:
        stream_text_encoder(text_encoder, single.file, dtype, device, names)
    else:
        load_into(text_encoder, [single.file], dtype, LANGUAGE_ONLY, names)
        text_encoder.to(device)
    return single


def _load_fp8(text_encoder, single: SingleFile, names: dict[str, str], dtype, device) -> None:
    keys = {name: key for name, key in names.items() if not name.startswith(LANGUAGE_ONLY)}
    where = {name: single.where[key] for name, key in keys.items()}
    try:
        load_fp8_tower(text_encoder, where, keys, dtype, device)
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


def _renamed(names: dict[str, str], rename) -> dict[str, str]:
    """{name: key in the file} under other names. Raises CheckpointError where two become one."""
    renamed = {}
    for name, key in names.items():
        if (other := renamed.setdefault(rename(name), key)) != key:
            raise CheckpointError(
                f"{shorten([other, key])} are the same tensor; is the file two models?"
            )
    return renamed


def _earlier_name(name: str) -> str:
    for later, official in LATER:
        if name.startswith(later):
            return official + name.removeprefix(later)
    return name
