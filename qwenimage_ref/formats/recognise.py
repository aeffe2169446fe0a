"""What a single file is: a part of Qwen-Image and in which layout, or something else.

Told from its header alone, by the names and types of its tensors. The layouts of fp8 and GGUF files
are told by fp8_dialects.py and gguf_container.py.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ..files import PICKLES, SHARD_NAME, CheckpointError, Place, read_header, shorten
from .fp8_dialects import ENDINGS, MARK, MIXED, MUSUBI, PLAIN, SCALED
from .gguf import ZERO_COND
from .gguf_container import read_gguf

ZERO_COND_T = "__index_timestep_zero__"  # an empty tensor that marks Edit-2511 (zero_cond_t)
PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # first bytes
HEADER = re.compile(rb".{4}\0{4}\{", re.DOTALL)  # those of .safetensors: its length, its begin
EIGHT_BITS = ("F8_E4M3", "F8_E5M2", "I8", "U8")

# the first that some name in an fp8 file ends in tells the dialect
FP8_MARKS = {".comfy_quant": MIXED, ".weight_scale": MIXED, MARK: SCALED, ".scale_weight": MUSUBI}

TRANSFORMER, LORA = "the transformer of a Qwen-Image model", "a LoRA"
VAE_, TEXT = "the VAE of Qwen-Image", "Qwen2.5-VL, the text encoder of Qwen-Image"
SEVERAL, UNKNOWN = "several parts of Qwen-Image in one file", "of no known kind"
OFFICIAL_NAMES, WAN_NAMES = "official names", "the names of Wan"
LATER_NAMES = "the names of transformers from 4.52 on"
GGUF, OTHER_8_BITS = "GGUF", "8-bit numbers of a kind of their own"
FP8 = (*ENDINGS, OTHER_8_BITS)  # layouts that are told apart by fp8_dialects.py
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
REMEDIES = {what: f"it goes with {option}" for what, option in BELONGS.items()} | {
    SEVERAL: "save each as a file of its own"
}


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
        known = f"; {layout}" if self.what in PARTS.values() else ""
        lines = [f"{self.file}", f"  {self.what}{known}"]
        total = tuple(map(sum, zip(*self.types.values()))) or (0, 0)
        for name, (numbers, tensors) in [*self.types.items(), ("together", total)]:
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
        first = opened.read(9)
    # careful: a header of 640 bytes begins as a pickle does
    if file.suffix in PICKLES or (first.startswith(PICKLED) and not HEADER.match(first)):
        raise CheckpointError(
            f"{file} is a pickle, which can run any code and is never opened; "
            "ask for a .safetensors or .gguf file"
        )
    if file.suffix == ".gguf" or first.startswith(b"GGUF"):
        held = read_gguf(file)
        where, marked = held.places, bool(held.metadata.get(ZERO_COND))
    else:
        held, where, marked = None, read_header(file), False
    kinds = [what for mark, what in KINDS.items() if any(re.search(mark, key) for key in where)]
    what = SEVERAL if len({*kinds} & {*PARTS.values()}) > 1 else next(iter(kinds), UNKNOWN)
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
    remedy = REMEDIES.get(single.what, "only parts of Qwen-Image are read here")
    raise CheckpointError(f"{file} is {single.what}, not {wanted}; {remedy}")
