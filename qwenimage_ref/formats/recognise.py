"""What a single file is: a part of Qwen-Image and in which layout, or something else.

Read from its header alone: from the names and types of its tensors. The layouts of fp8 and GGUF
files are in fp8_dialects.py and gguf_container.py.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..adapt.control_files import BLOCKWISE, INSTANTX, kind_of
from ..checkpoint.headers import PICKLES, SHARD_NAME, WRAPPERS, Place, Places, read_header
from ..files import CheckpointError, demand_regular, shorten
from . import ZERO_COND_T
from .fp8_dialects import ENDINGS, FP8_TYPES, MARK, MIXED, MUSUBI, PLAIN, SCALED, read_formats
from .gguf_container import GGUF as GGUFHeader
from .gguf_container import read_gguf

PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # first bytes
HEADER = re.compile(rb".{4}\0{4}\{", re.DOTALL)  # those of .safetensors: its length, its begin
EIGHT_BITS = ("F8_E4M3", "F8_E5M2", "I8", "U8")

WRAPPED = re.compile(rf"(?<![^.])(?:{'|'.join(WRAPPERS)})\.")
# put before all names of a part; longest first, one may begin another
PREFIXES = {
    "transformer": ("model.diffusion_model.", "diffusion_model.", "transformer.", "model."),
    "vae": ("first_stage_model.", "vae.", "model."),
    "text_encoder": (
        "text_encoders.qwen25_7b.transformer.", "qwen25_7b.transformer.", "text_encoder.",
    ),
}  # fmt: skip
# no name of another part begins so: where a file holds several parts, these are left to the others
OWN = {
    "transformer": ("model.diffusion_model.", "diffusion_model.", "transformer."),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("text_encoders.", "text_encoder.", "qwen25_7b."),
}

# the first that some name in an fp8 file ends in tells the dialect
FP8_MARKS = {
    ".comfy_quant": MIXED,
    ".weight_scale": MIXED,
    ".weight_s_rel": MIXED,
    MARK: SCALED,
    ".scale_weight": MUSUBI,
}

TRANSFORMER, LORA = "the transformer of a Qwen-Image model", "a LoRA"
VAE_, TEXT = "the VAE of Qwen-Image", "Qwen2.5-VL, the text encoder of Qwen-Image"
CONTROL = "a ControlNet of another model"
CONTROL_OF_KIND = {kind: f"{kind} for Qwen-Image" for kind in (INSTANTX, BLOCKWISE)}
SEVERAL, UNKNOWN = "several parts of Qwen-Image in one file", "of no known kind"
OFFICIAL_NAMES, WAN_NAMES = "official names", "the names of Wan"
LATER_NAMES = "the names of transformers from 4.52 on"
GGUF, OTHER_8_BITS = "GGUF", "8-bit numbers of a kind of their own"
FP8 = (*ENDINGS, OTHER_8_BITS)  # layouts that are told apart by fp8_dialects.py
KINDS = {  # {pattern of some name: what the file is}; the first that fits counts
    r"lora_|\.lora\.|lokr_|hada_": LORA,
    r"\.qweight$": "of Nunchaku's 4-bit kind (SVDQuant)",
    r"\.quant_state\.": "of bitsandbytes' 4-bit kind",
    r"\.encoded_exponent$": "compressed by DFloat11",
    r"controlnet": CONTROL,
    r"input_blocks\.\d|\.time_emb_proj\.|conditioner\.embedders": "a Stable Diffusion model",
    r"double_blocks\.\d+\.img_attn\.qkv|single_transformer_blocks\.": "a FLUX model",
    r"individual_token_refiner": "a HunyuanVideo model",
    r"joint_blocks\.\d": "a Stable Diffusion 3 model",
    r"txt_in\.text_norm\.": "the transformer of Qwen-Image-2.1, another architecture",
    r"noise_refiner\.|cap_embedder\.": "a Z-Image or Lumina model",
    r"blocks\.\d+\.cross_attn\.|condition_embedder\.": "the transformer of a Wan model",
    r"transformer_blocks\.\d+\.img_mod\.1\.": TRANSFORMER,
    r"decoder\.upsamples\.\d+\.upsamples\.": "the VAE of Wan 2.2",
    r"decoder\.upsamples\.\d+\.residual\.|decoder\.up_blocks\.\d+\.resnets\.0\.norm1\.gamma": VAE_,
    r"decoder\.up\.\d|up_blocks\.\d+\.resnets\.0\.norm1\.weight": "the VAE of another model",
    r"layers\.\d+\.self_attn\.q_norm\.": "a language model, Qwen3 by its names",
    r"layers\.\d+\.self_attn\.q_proj\.bias": TEXT,
    r"layers\.\d+\.self_attn\.q_proj\.": "a language model other than Qwen2.5-VL",
    r"^blk\.\d": "a language model under llama.cpp's names",
    r"encoder\.block\.\d+\.layer\.": "a T5 text encoder",
    r"text_model\.|resblocks\.\d": "a CLIP model",
}
PARTS = {"transformer": TRANSFORMER, "vae": VAE_, "text_encoder": TEXT}
BELONGS = {what: f"--{part.replace('_', '-')}" for part, what in PARTS.items()} | {LORA: "--lora"}
BELONGS |= dict.fromkeys(CONTROL_OF_KIND.values(), "--control")


@dataclass(frozen=True)
class SingleFile:
    """What a file is. `str` of it is what `qwenimage info FILE` prints."""

    file: Path
    what: str  # one of KINDS
    parts: tuple[str, ...]  # parts of Qwen-Image in the file; several in a whole checkpoint
    layout: str
    where: Places  # under the names of the file
    zero_cond_t: bool | None  # marked as one of Edit-2511; None: nothing is said
    gguf: GGUFHeader | None = None

    @property
    def formats(self) -> dict[str, int]:
        """{format: how many layers} where ComfyUI's metadata say so, the most frequent first"""
        same = {key: key for key in self.where}
        try:
            stated = read_formats(self.where, same, self.where) if self.layout == MIXED else {}
        except (ValueError, CheckpointError):  # loading the file says what is wrong with it
            stated = {}
        return dict(Counter(entry["format"] for entry in stated.values()).most_common())

    @property
    def types(self) -> dict[str, tuple[int, int]]:
        """{type: (numbers, tensors)} of what is stored, the largest first"""
        counts = {}
        for place in self.where.values():
            numbers, tensors = counts.get(place.dtype, (0, 0))
            counts[place.dtype] = numbers + math.prod(place.shape), tensors + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1][0]))

    def __str__(self) -> str:
        layout = f"fp8, {self.layout}" if self.layout in ENDINGS else self.layout
        if self.formats.keys() - FP8_TYPES.values():
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.formats.items())
            layout = f"{self.layout}, {kinds}"
        known = f"; {layout}" if self.what in PARTS.values() else ""
        lines = [f"{self.file}", f"  {self.what}{known}"]
        total = tuple(map(sum, zip(*self.types.values()))) or (0, 0)
        for name, (numbers, tensors) in [*self.types.items(), ("together", total)]:
            lines.append(f"  {name:13} {numbers:>14,} numbers in {tensors:,} tensors")
        if self.zero_cond_t:
            lines.append("  marked as Edit-2511, whose condition pictures see time 0")
        options = [BELONGS[PARTS[part]] for part in self.parts] or [BELONGS.get(self.what)]
        more = "=PICTURE" if self.what in CONTROL_OF_KIND.values() else ""
        lines += [
            f"  used with: qwenimage paint {option} FILE{more}" for option in options if option
        ]
        return "\n".join(lines)


def describe(file: str | Path) -> SingleFile:
    """What a single file is, by its header alone. Raises CheckpointError, one line."""
    file = Path(file)
    if file.is_dir():
        raise CheckpointError(f"{file} must be a file, got a folder; name a file in it")
    demand_regular(file)
    with file.open("rb") as opened:
        first = opened.read(9)
    # careful: a header of 640 bytes begins as a pickle does
    if file.suffix in PICKLES or (first.startswith(PICKLED) and not HEADER.match(first)):
        raise CheckpointError(
            f"{file} is a pickle, which can run any code and is never opened; "
            "ask for a .safetensors or .gguf file"
        )
    if file.suffix == ".gguf" or first.startswith(b"GGUF"):
        header = read_gguf(file)
        return recognise(file, Places(header.places), header)
    return recognise(file, read_header(file))


def recognise(source: Path, where: Places, header: GGUFHeader | None = None) -> SingleFile:
    """The tensors of a file or folder, under its own names -> what it is"""
    kinds = [what for mark, what in KINDS.items() if any(re.search(mark, key) for key in where)]
    if CONTROL in kinds:  # a copy of some blocks is no transformer
        kinds = [CONTROL_OF_KIND.get(kind_of(where), CONTROL)]
    parts = tuple(part for part, what in PARTS.items() if what in kinds)
    what = SEVERAL if len(parts) > 1 else next(iter(kinds), UNKNOWN)
    marked = True if any(key.endswith(ZERO_COND_T) for key in where) else None
    marked = header.zero_cond_t if header and header.zero_cond_t is not None else marked
    layout = GGUF if header else layout_of(where)
    return SingleFile(source, what, parts, layout, where, marked, header)


def layout_of(where: dict[str, Place]) -> str:
    """How the tensors of safetensors files are spelled and stored"""
    if types := {place.dtype for place in where.values()}.intersection(EIGHT_BITS):
        ends = [end for end in FP8_MARKS if any(key.endswith(end) for key in where)]
        if not types.intersection(FP8_TYPES) and FP8_MARKS.get(ends[0] if ends else "") != MIXED:
            return OTHER_8_BITS
        return FP8_MARKS[ends[0]] if ends else PLAIN
    if has_wan_names(where):
        return WAN_NAMES
    if any("model.language_model." in key for key in where):
        return LATER_NAMES
    return OFFICIAL_NAMES


def has_wan_names(keys: Iterable[str]) -> bool:
    return any("decoder.upsamples." in key for key in keys)


def demand(file: str | Path, part: str) -> SingleFile:
    """A file that holds this part, by its header. Raises CheckpointError that says what it is."""
    single, wanted = describe(file), PARTS[part]
    if part in single.parts and single.what in (wanted, SEVERAL):
        if SHARD_NAME.search(single.file.name):
            raise CheckpointError(
                f"{file} is one shard of several; give the folder that holds them all instead"
            )
        return single
    if single.what == UNKNOWN:
        names = shorten(list(single.where)) or "none"
        raise CheckpointError(f"{file} is not {wanted}: no tensor has a name of it ({names})")
    option = BELONGS.get(single.what)
    remedy = f"it goes with {option}" if option else "only parts of Qwen-Image are read here"
    raise CheckpointError(f"{file} is {single.what}, not {wanted}; {remedy}")


def official_names(
    keys: Iterable[str], part: str, rename: Callable[[str], str | None] = str
) -> dict[str, str]:
    """Names in a file -> {official name: name in the file}, of what belongs to this part

    Wrappers' segments and the prefix of the part are taken off, then `rename` is called; what it
    calls None is left out. Raises CheckpointError where two tensors get one name.
    """
    bare = {key: WRAPPED.sub("", key) for key in keys}
    prefix = next((p for p in PREFIXES[part] if any(n.startswith(p) for n in bare.values())), "")
    others = tuple(p for other, own in OWN.items() if other != part for p in own)
    names, whole = {}, {}
    for key, name in bare.items():
        if prefix and not name.startswith(prefix) and name.startswith(others):
            continue
        official = rename(name.removeprefix(prefix))
        if official is None:
            continue
        if (other := names.setdefault(official, key)) != key:
            raise CheckpointError(_twice(whole[official], name, prefix, other, key))
        whole[official] = name
    return names


def _twice(first: str, second: str, prefix: str, key: str, other: str) -> str:
    if prefix and first.removeprefix(prefix) == second.removeprefix(prefix) and first != second:
        name = shorten([first.removeprefix(prefix)])
        return f"{name} is there with {prefix} before it and without; keep one of the two"
    return f"{shorten([key, other])} are the same tensor; keep one"
