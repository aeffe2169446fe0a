"""LoRA files: the same two matrices for a layer, under the names of seven dialects.

    dialect             the key of a matrix                   A and B are       alpha is

    PEFT/diffusers      transformer.NAME.lora_A.weight        lora_A, lora_B    in the metadata
    PEFT folder         base_model.model.NAME.lora_A.weight   lora_A, lora_B    in the config beside
    kohya/musubi        lora_unet_NA_ME.lora_down.weight      down, up          the same, .alpha
    Lightning           NAME.lora_down.weight                 down, up          the same, .alpha
    ComfyUI             diffusion_model.NAME.lora_up.weight   either            the same, .alpha
    DiffSynth           NAME.lora_A.default.weight            lora_A, lora_B    nowhere
    legacy diffusers    transformer.NAME.lora.down.weight     down, up          nowhere

NAME is the official name of a linear layer, in NA_ME the dots are underscores. Without alpha the
product counts once. A name is believed only if the model has it: nothing is guessed.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open

from ..files import PICKLES, CheckpointError, open_file, read_header, read_json, shorten

PREFIXES = {  # longest first: one may begin another
    "base_model.model.": "PEFT folder",
    "model.diffusion_model.": "ComfyUI",
    "diffusion_model.": "ComfyUI",
    "transformer.": "PEFT/diffusers",
    "lycoris_": "kohya/musubi",
    "lora_unet_": "kohya/musubi",
    "pipe.dit.": "DiffSynth",
}
TEXT_ENCODER = ("text_encoder.", "lora_te_", "lora_te1_", "text_model.", "te_", "model.layers.")
SPELLING = re.compile(
    r"(?P<name>.+?)\.(?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up)"
    r"(\.(?P<adapter>[^.]+))?\.weight"
)
PARTS = {"lora_A": "A", "lora_down": "A", "lora.down": "A"}  # all others: B
OTHER_METHODS = {
    "lokr_": "LoKr", "hada_": "LoHa", "dora_scale": "DoRA", "lora_magnitude_vector": "DoRA",
    "lora_mid": "LoCon with a core", "oft_": "OFT", "diff_b": "a full difference",
}  # fmt: skip
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FLOATS = ("F32", "F16", "BF16")


class LoRAError(CheckpointError):
    """An adapter that cannot be put on this model; one line says why."""


@dataclass
class Found:
    """What a file holds, under the names of the model."""

    dialect: str
    alpha_given: bool
    # name of the linear layer: A (r, in), B (out, r), alpha
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor, float]]


@dataclass
class _Settings:
    """What is written beside the tensors: alpha, and for some layers another one."""

    alpha: float | None = None
    patterns: dict[str, float] = field(default_factory=dict)
    rank_stabilised: bool = False

    def alpha_of(self, name: str) -> float | None:
        """As PEFT looks it up: a pattern is a name or its end."""
        ends = (alpha for end, alpha in self.patterns.items() if f".{name}".endswith(f".{end}"))
        return next(ends, self.alpha)


def read_pairs(path: Path, sizes: dict[str, tuple[int, int]]) -> Found:
    """A file, or PEFT's folder -> what it holds for linear layers of these names and (out, in).

    Raises LoRAError unless all of its keys are understood and fit.
    """
    file, settings = _open(path)
    header, flat = read_header(file), {name.replace(".", "_"): name for name in sizes}
    keys = {key: _Key.parse(key, sizes, flat) for key in header}
    if strange := [key for key, parsed in keys.items() if parsed is None]:
        raise LoRAError(f"{path}: {_why_unused(strange, sizes)}")
    if not keys:
        raise LoRAError(f"{path} holds no tensors")
    layers: dict[str, dict[str, str]] = {}  # name: {part: key}
    for key, parsed in keys.items():
        other = layers.setdefault(parsed.name, {}).setdefault(parsed.part, key)
        if other != key:
            raise LoRAError(
                f"{path}: {other} and {key} are for the same layer; a file holds one adapter"
            )
    lacking = [name for name, parts in layers.items() if "alpha" not in parts]
    if 0 < len(lacking) < len(layers):
        raise LoRAError(
            f"{path}: {len(lacking)} of {len(layers)} layers have no alpha ({shorten(lacking)}); "
            "the file is not whole"
        )
    pairs = {}
    with open_file(file) as opened:
        for name, parts in layers.items():
            tensors = {part: opened.get_tensor(key) for part, key in parts.items()}
            try:
                pairs[name] = _pair(tensors, sizes[name], settings.alpha_of(name), settings)
            except ValueError as error:
                raise LoRAError(f"{path}: {name} {error}") from None
    for end in settings.patterns:
        if not any(f".{name}".endswith(f".{end}") for name in pairs):
            raise LoRAError(f"{path} gives {end} an alpha of its own, and has no such layer")
    parsed = next(iter(keys.values()))
    return Found(parsed.dialect(), not lacking or settings.alpha is not None, pairs)


@dataclass(frozen=True)
class _Key:
    """A key taken apart: which layer, which part of its pair, and how that was spelled."""

    name: str
    part: str  # "A", "B" or "alpha"
    prefix: str
    spelled: str
    adapter: str | None

    @classmethod
    def parse(cls, key: str, sizes: dict, flat: dict) -> "_Key | None":
        if match := SPELLING.fullmatch(key):
            part = PARTS.get(match["part"], "B")
            called, spelled, adapter = match["name"], match["part"], match["adapter"]
        elif key.endswith(".alpha"):
            called, part, spelled, adapter = key.removesuffix(".alpha"), "alpha", "alpha", None
        else:
            return None
        prefix, rest = "", called
        while rest not in sizes and rest not in flat:
            found = next((p for p in PREFIXES if rest.startswith(p)), None)
            if found is None:
                return None
            prefix, rest = prefix or found, rest.removeprefix(found)
        return cls(flat.get(rest, rest), part, prefix, spelled, adapter)

    def dialect(self) -> str:
        if self.spelled.startswith("lora."):
            return "legacy diffusers"
        if self.prefix:
            return PREFIXES[self.prefix]
        if self.adapter:
            return "DiffSynth"
        return "PEFT without prefix" if self.spelled in ("lora_A", "lora_B") else "Lightning"


def _pair(parts: dict, size: tuple[int, int], alpha: float | None, settings: _Settings):
    """{"A", "B", "alpha"} -> A, B, alpha. Raises ValueError that continues "NAME ..."."""
    if not {"A", "B"} <= parts.keys():
        half = "up" if "A" in parts else "down"
        raise ValueError(f"has no {half} matrix; the file is not whole")
    A, B = parts["A"], parts["B"]
    (out, in_), rank = size, len(A) if A.ndim else 0
    if A.shape != (rank, in_) or B.shape != (out, rank) or not rank:
        raise ValueError(
            f"has matrices of {list(A.shape)} and {list(B.shape)}, the model's layer is "
            f"[{out}, {in_}]; is this file for another model?"
        )
    for which, matrix in (("down", A), ("up", B)):
        if not matrix.is_floating_point() or not torch.isfinite(matrix).all():
            raise ValueError(f"holds no finite numbers in its {which} matrix; fetch it again")
    if "alpha" in parts:
        if parts["alpha"].numel() != 1:
            raise ValueError(f"has an alpha of {parts['alpha'].numel()} numbers instead of one")
        alpha = parts["alpha"].item()
    alpha = rank if alpha is None else alpha
    if not math.isfinite(alpha) or alpha == 0:
        raise ValueError(f"has alpha {alpha:g}: it would change nothing, or everything; mend it")
    if settings.rank_stabilised:
        alpha *= math.sqrt(rank)
    return A, B, float(alpha)


def _why_unused(keys: list[str], sizes) -> str:
    """Some keys say nothing to this model; what they probably are, in one line."""
    for mark, method in OTHER_METHODS.items():
        if any(mark in key for key in keys):
            return f"it is of another kind, {method}, which is not read here ({shorten(keys)})"
    bare = [key.removeprefix("base_model.model.") for key in keys]
    if any(key.startswith(TEXT_ENCODER) for key in bare):
        return (
            f"it adapts the text encoder ({shorten(keys)}); only adapters of the transformer "
            "are read here"
        )
    return (
        f"{len(keys)} keys name no linear layer of this model ({shorten(keys)}); the model has "
        f"{shorten(list(sizes))}: is this file for another model?"
    )


def _open(path: Path) -> tuple[Path, _Settings]:
    """The file of tensors, and what is written beside or in it."""
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            pickled = [p.name for p in path.iterdir() if p.suffix in PICKLES]
            hint = f"; {pickled[0]} is a pickle, which can run code" if pickled else ""
            raise LoRAError(f"{path} holds no {WEIGHTS}{hint}")
        return path / WEIGHTS, _settings_of_folder(path / CONFIG)
    if path.suffix in PICKLES:
        raise LoRAError(f"{path} is a pickle, which can run code; ask for a .safetensors file")
    if not path.is_file():
        raise LoRAError(f"{path} is not there")
    read_header(path)  # a damaged file is told before anything else
    with safe_open(path, framework="pt") as opened:
        told = (opened.metadata() or {}).get("lora_adapter_metadata")
    if told is None:
        return path, _Settings()
    try:
        values = json.loads(told)
        values = {key.removeprefix("transformer."): value for key, value in values.items()}
        return path, _settings(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise LoRAError(f"{path}: its adapter metadata cannot be read ({error})") from None


def _settings_of_folder(config: Path) -> _Settings:
    try:
        return _settings(read_json(config))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LoRAError(f"{config} cannot be read ({error}); alpha is in it") from None


def _settings(values: dict) -> _Settings:
    if values.get("use_dora"):
        raise ValueError("it is a DoRA, which is not read here")
    alpha = values.get("lora_alpha")
    patterns = {name: float(a) for name, a in (values.get("alpha_pattern") or {}).items()}
    return _Settings(
        None if alpha is None else float(alpha), patterns, bool(values.get("use_rslora"))
    )
