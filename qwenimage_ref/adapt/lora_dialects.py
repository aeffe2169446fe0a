"""LoRA keys: the two matrices of a layer under the names of seven dialects.

    dialect             the key of a matrix                   A and B are       alpha is

    PEFT/diffusers      transformer.NAME.lora_A.weight        lora_A, lora_B    in the metadata
    PEFT folder         base_model.model.NAME.lora_A.weight   lora_A, lora_B    in the config beside
    kohya/musubi        lora_unet_NA_ME.lora_down.weight      down, up          the same, .alpha
    Lightning           NAME.lora_down.weight                 down, up          the same, .alpha
    ComfyUI             diffusion_model.NAME.lora_up.weight   either            the same, .alpha
    DiffSynth           NAME.lora_A.default.weight            lora_A, lora_B    nowhere
    legacy diffusers    transformer.NAME.lora.down.weight     down, up          nowhere

NAME is the official name of a layer; in NA_ME its dots are underscores. Without alpha the product
counts once. ComfyUI also writes full-sized changes, NAME.diff of a weight (of norms, too) and
NAME.diff_b of a bias. LyCORIS and peft write NAME.lokr_w1, NAME.hada_w1_a, NAME.dora_scale and the
like, under any of the prefixes (lora_kinds.py). A key counts only if the model has its layer:
nothing is guessed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..checkpoint.headers import WRAPPERS
from ..files import CheckpointError, shorten
from .lora_kinds import LOHA, LOKR

PREFIXES = {  # longest first: one may begin another
    "base_model.model.": "PEFT folder",
    "model.diffusion_model.": "ComfyUI",
    "diffusion_model.": "ComfyUI",
    "transformer.": "PEFT/diffusers",
    "lycoris_": "kohya/musubi",
    "lora_unet_": "kohya/musubi",
    "pipe.dit.": "DiffSynth",
}
MOST_PREFIXES = 3  # prefixes before one name; files in use have two at most
# the same with underscores for dots, where "module" alone would be ambiguous
FLAT_WRAPPERS = "|".join(name for name in WRAPPERS if name.startswith("_"))
WRAPPED = re.compile(rf"(?<![^.])(?:{'|'.join(WRAPPERS)})\.|(?:{FLAT_WRAPPERS})_")
MATRIX = re.compile(
    r"(?P<layer>.+?)\.(?P<spelled>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)"
    r"(\.(?P<adapter>[^.]+))?\.(?P<kind>weight|bias)"
)
FACTOR = re.compile(
    r"(?P<layer>.+?)\.(?P<spelled>lokr_w[12](?:_[ab])?|hada_w[12]_[ab]|dora_scale|"
    r"lora_magnitude_vector)(\.(?P<adapter>(?!weight$)[^.]+))?(\.weight)?"
)
MAGNITUDES = ("dora_scale", "lora_magnitude_vector")
SPELLED_A = ("lora_A", "lora_down", "lora.down")
ENDINGS = {
    ".alpha": "alpha", ".diff": "weight", ".diff_b": "bias", ".w_norm": "weight",
}  # fmt: skip
PRODUCTS = {"A", "B", "B_bias", "magnitude", *LOKR, *LOHA}  # parts of a product of matrices
PARTS, NORM_PARTS = {*PRODUCTS, "alpha", "weight", "bias"}, {"alpha", "weight"}
TEXT_ENCODER = (
    "text_encoder", "lora_te_", "lora_te1_", "text_model.", "te_", "model.layers.", "clip",
)  # fmt: skip
OTHER_METHODS = {
    "lokr_t": "LoKr with a core", "hada_t": "LoHa with a core", "lora_mid": "LoCon with a core",
    "oft_": "OFT",
}  # fmt: skip


class LoRAError(CheckpointError):
    """An adapter that cannot be applied to this model; one line says why."""


@dataclass(frozen=True)
class Key:
    """A key in its parts: the layer, what of the layer it holds, and how that is spelled."""

    name: str
    part: str  # one of PARTS
    prefix: str
    spelled: str
    adapter: str | None

    @classmethod
    def parse(cls, key: str, official: dict[str, str], shapes: dict) -> "Key | None":
        """None for a key that belongs to none of these layers, or is of another method."""
        if match := MATRIX.fullmatch(key):
            part = "A" if match["spelled"] in SPELLED_A else "B"
            part += "_bias" if match["kind"] == "bias" else ""
            layer, spelled, adapter = match["layer"], match["spelled"], match["adapter"]
        elif match := FACTOR.fullmatch(key):
            layer, spelled, adapter = match["layer"], match["spelled"], match["adapter"]
            part = "magnitude" if spelled in MAGNITUDES else spelled
        else:
            ending = next((e for e in ENDINGS if key.endswith(e)), None)
            if ending is None:
                return None
            part, spelled, adapter = ENDINGS[ending], ending, None
            layer = key.removesuffix(ending)
        name, prefix = official_name(layer, official)
        if name is None or part not in (PARTS if len(shapes[name]) == 2 else NORM_PARTS):
            return None
        return cls(name, part, prefix, spelled, adapter)

    def dialect(self) -> str:
        if self.spelled.startswith("lora."):
            return "legacy diffusers"
        if self.prefix:
            return PREFIXES[self.prefix]
        if self.adapter:
            return "DiffSynth"
        if self.spelled in (*LOKR, *LOHA):
            return "LyCORIS"
        return "PEFT without prefix" if self.spelled in ("lora_A", "lora_B") else "Lightning"


def both_spellings(names: Iterable[str]) -> dict[str, str]:
    """{an official name, or that name with underscores for dots: the official name}"""
    names = list(names)
    return {name.replace(".", "_"): name for name in names} | {name: name for name in names}


def official_name(layer: str, official: dict[str, str]) -> tuple[str | None, str]:
    """A layer as a file spells it -> its official name, or None, and the first of its prefixes"""
    layer, first = WRAPPED.sub("", layer), ""
    for _ in range(MOST_PREFIXES):
        prefix = next((p for p in PREFIXES if layer.startswith(p)), None)
        if layer in official or prefix is None:
            break
        first, layer = first or prefix, layer.removeprefix(prefix)
    return official.get(layer), first


def owners(key: str, official: dict[str, str]) -> set[str]:
    """The layer that a key of an unknown kind belongs to, if any."""
    beginnings = (key.rsplit(".", ends)[0] for ends in (1, 2, 3))
    return {official_name(beginning, official)[0] for beginning in beginnings} - {None}


def why_unused(keys: list[str], shapes) -> str:
    """What keys that fit no layer probably are, in one line."""
    for mark, method in OTHER_METHODS.items():
        if any(mark in key for key in keys):
            return f"it has parts of another method, {method} ({shorten(keys)}), which is not read"
    bare = [WRAPPED.sub("", key).removeprefix("base_model.model.") for key in keys]
    if any(key.startswith(TEXT_ENCODER) for key in bare):
        return (
            f"it adapts the text encoder ({shorten(keys)}); only adapters of the transformer "
            "are read"
        )
    if any(key.endswith((".weight", ".bias")) and "lora" not in key for key in bare):
        return (
            f"it replaces whole weights ({shorten(keys)}), as PEFT's modules_to_save does; only "
            "changes to weights are read"
        )
    return (
        f"{len(keys)} keys name no layer of this model ({shorten(keys)}); the model has "
        f"{shorten(list(shapes))}: is this file for another model?"
    )
