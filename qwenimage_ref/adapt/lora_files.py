"""LoRA files read and written whole: every key used or named, every number checked, alpha found.

How keys are spelled is in lora_dialects.py; what is stated beside the tensors, lora_settings.py.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ..checkpoint.headers import PICKLES, open_file, read_header
from ..checkpoint.write import save_file
from ..files import CheckpointError, demand_regular, shorten, whole_file
from .lora_dialects import PRODUCTS, Key, LoRAError, both_spellings, owners, why_unused
from .lora_kinds import LOHA, LOKR, Hadamard, Kronecker, largest, read_change, read_magnitude
from .lora_settings import Settings, number, settings_of_config, settings_of_header

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MOST_KEYS = 20_000  # a change of every parameter of the official transformer has 1,933


@dataclass
class Content:
    """What a file adds to which layer, under the official names."""

    dialect: str
    alpha_given: bool
    left_out: list[str]  # keys
    idle_patterns: list[str]  # alphas stated for layers that the file does not have
    # A (r, in), B (out, r), alpha
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = field(default_factory=dict)
    changes: dict[str, Kronecker | Hadamard] = field(default_factory=dict)
    magnitudes: dict[str, torch.Tensor] = field(default_factory=dict)  # layers in either
    # change of the weight and of the bias; one may be None
    differences: dict[str, tuple[torch.Tensor | None, ...]] = field(default_factory=dict)


def read_adapter(path: Path, shapes: dict[str, torch.Size], partial: bool) -> Content:
    """A file, or PEFT's folder -> its content for layers whose weights have these shapes

    Raises LoRAError unless every key belongs to one of the layers and fits it. partial: keys of
    other layers, and of methods that are not read, are left out, with whatever else the file has
    for the same layer; at least one layer must remain.
    """
    file = _tensors_of(path)
    header = read_header(file)
    with open_file(file) as opened:
        layers, left_out, first = _layers(path, list(header), shapes, partial)
        settings = _settings(path, header.metadata)
        pairs = [name for name, parts in layers.items() if parts.keys() & PRODUCTS]
        try:
            stated, idle = settings.of_layers(pairs), settings.idle(pairs)
        except ValueError as error:
            raise LoRAError(f"{path}: {error}") from None
        ranked = [n for n in pairs if not layers[n].keys() >= {"lokr_w1", "lokr_w2"}]
        no_alpha = [n for n in ranked if "alpha" not in layers[n] and stated[n][0] is None]
        if 0 < len(no_alpha) < len(ranked):
            raise LoRAError(
                f"{path}: all layers or none must have an alpha, {len(no_alpha)} of {len(ranked)} "
                f"have none ({shorten(no_alpha)}); fetch it again"
            )
        content = Content(first.dialect(), not no_alpha, left_out, idle)
        for name, parts in layers.items():
            tensors = {part: _readable(opened.get_tensor(key)) for part, key in parts.items()}
            try:
                if name in stated:
                    _add_product(content, name, tensors, shapes[name], stated[name], settings)
                if (changes := _difference(tensors, shapes[name])) != (None, None):
                    content.differences[name] = changes
            except ValueError as error:
                raise LoRAError(f"{path}: {name} {error}") from None
    return content


def write_adapter(file: Path, content: dict[str, dict[str, torch.Tensor]]) -> None:
    """{official name: {ending of the key: tensor}} -> a .safetensors file, whole or not at all

    Equal tensors give equal bytes. Raises LoRAError where the file cannot be written.
    """
    if file.suffix != ".safetensors":
        raise LoRAError(f"{file} must end in .safetensors")
    tensors = {
        f"diffusion_model.{name}{ending}": tensor
        for name, parts in content.items()
        for ending, tensor in parts.items()
    }
    try:
        with whole_file(file) as partial:
            save_file(tensors, partial, metadata={"format": "pt"})
    except OSError as error:
        raise LoRAError(
            f"cannot write {file}: {error.strerror}; make room there or choose another folder"
        ) from None


def _tensors_of(path: Path) -> Path:
    """The file that holds the tensors."""
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            pickles = [p.name for p in path.iterdir() if p.suffix in PICKLES]
            hint = f"; {shorten(pickles)} is a pickle, which can run code" if pickles else ""
            raise LoRAError(f"{path} must hold {WEIGHTS}, or name a file in it{hint}")
        return path / WEIGHTS
    if path.suffix in PICKLES:
        raise LoRAError(f"{path} is a pickle, which can run code; ask for a .safetensors file")
    try:
        demand_regular(path)
    except CheckpointError as error:
        raise LoRAError(str(error)) from None
    return path


def _settings(path: Path, metadata: dict[str, str]) -> Settings:
    try:
        return settings_of_config(path / CONFIG) if path.is_dir() else settings_of_header(metadata)
    except OSError as error:
        reason = f"{CONFIG}, which states alpha, cannot be read: {error.strerror}"
    except ValueError as error:
        reason = f"{CONFIG if path.is_dir() else 'header'}: {error}"
    raise LoRAError(f"{path}: {reason}")


def _layers(path: Path, keys: list[str], shapes: dict, partial: bool):
    """-> {official name: {part: key}}, keys that are left out, the first key that is used"""
    if not 0 < len(keys) <= MOST_KEYS:
        raise LoRAError(f"{path} must hold 1 to {MOST_KEYS:,} tensors, got {len(keys):,}")
    official = both_spellings(shapes)
    layers: dict[str, dict[str, str]] = {}
    strange, spoiled, first = [], set(), None
    for key in keys:
        parsed = Key.parse(key, official, shapes)
        if parsed is None:
            strange.append(key)
            spoiled |= owners(key, official)
            continue
        first = first or parsed
        other = layers.setdefault(parsed.name, {}).setdefault(parsed.part, key)
        if other != key:
            raise LoRAError(
                f"{path}: {shorten([other, key])} are for the same layer; a file holds one adapter"
            )
    rest = {name: parts for name, parts in layers.items() if name not in spoiled}
    if strange and not (partial and rest):
        hint = "; --lora-partial, or partial=True, loads the rest" if rest else ""
        raise LoRAError(f"{path}: {why_unused(strange, shapes)}{hint}")
    dropped = [key for name in layers.keys() & spoiled for key in layers[name].values()]
    return rest, strange + sorted(dropped), first


def _readable(tensor: torch.Tensor) -> torch.Tensor:
    """float8 as bfloat16, which holds all its values and can be computed in; float64 as float32."""
    if tensor.dtype == torch.float64:
        return tensor.float()  # careful: before anything is checked, it may become infinite here
    one_byte = tensor.is_floating_point() and tensor.dtype.itemsize == 1
    return tensor.to(torch.bfloat16) if one_byte else tensor


def _add_product(content: Content, name: str, parts: dict, shape, stated: tuple, settings) -> None:
    """Put the factors of one layer into the content, of whichever kind they are."""
    alpha, rank = stated
    magnitude = parts.pop("magnitude", None)
    if magnitude is not None:
        if "B_bias" in parts:
            raise ValueError("must have a DoRA magnitude or a bias of its up matrix, got both")
        content.magnitudes[name] = read_magnitude(magnitude, shape)
    if not parts.keys() & {*LOKR, *LOHA}:
        content.pairs[name] = _pair(parts, shape, alpha, rank, settings.rank_stabilised)
        return
    if settings.rank_stabilised:
        raise ValueError("must have alpha / r as its strength, got use_rslora, which is for pairs")
    content.changes[name] = read_change(parts, shape, _alpha(parts, alpha), rank)


def _alpha(parts: dict, stated: float | None) -> float | None:
    """The alpha beside the matrices, or else the stated one. Raises ValueError."""
    if "alpha" not in parts:
        return stated
    if parts["alpha"].numel() != 1:
        raise ValueError(f"must have one number as alpha, got {parts['alpha'].numel()}")
    return number(parts["alpha"].item(), "alpha")


def _pair(parts: dict, shape, alpha: float | None, stated_rank: int | None, stabilised: bool):
    """-> A, B, alpha. The bias of B becomes part of the layer's. Raises ValueError."""
    if not {"A", "B"} <= parts.keys():
        lost = "up" if "A" in parts else "down"
        raise ValueError(f"must have two matrices, got no {lost} matrix; fetch the file again")
    A, B = parts["A"], parts["B"]
    (out, in_), rank = shape, len(A) if A.ndim else 0
    if A.shape != (rank, in_) or B.shape != (out, rank) or not rank:
        raise ValueError(
            f"must have matrices for a layer of [{out}, {in_}], got {list(A.shape)} and "
            f"{list(B.shape)}; is this file for another model?"
        )
    if stated_rank not in (None, rank):
        raise ValueError(f"must have the rank {stated_rank} of its config, got {rank}")
    alpha = _alpha(parts, alpha)
    alpha = float(rank) if alpha is None else alpha
    alpha *= math.sqrt(rank) if stabilised else 1
    bound = largest(A, "down matrix") * largest(B, "up matrix") * abs(alpha)
    if bound > torch.finfo(torch.float32).max:
        raise ValueError(f"must have a product within float32, got up to {bound:.0e}")
    if "B_bias" in parts:
        if "bias" in parts:
            raise ValueError("must have one change of its bias, got two")
        parts["bias"] = alpha / rank * parts["B_bias"].float()
    if "weight" in parts:
        raise ValueError("must have two matrices or a full difference, got both")
    return A, B, alpha


def _difference(parts: dict, shape) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """-> changes of the weight and of the bias. Raises ValueError."""
    if parts.keys() == {"alpha"}:
        raise ValueError("must have two matrices, got only alpha; fetch the file again")
    changes = parts.get("weight"), parts.get("bias")
    for name, change, expected in zip(("weight", "bias"), changes, (shape, shape[:1])):
        if change is None:
            continue
        if change.shape != expected:
            raise ValueError(
                f"must have a {name} difference of {list(expected)}, got {list(change.shape)}; "
                "is this file for another model?"
            )
        largest(change, f"{name} difference")
    return changes


@dataclass(frozen=True)
class Report:
    """What was loaded, and onto what."""

    source: str
    dialect: str
    matched: int  # linear layers of the model that have a pair, or another product, now
    linears: int  # linear layers of the model
    differences: int  # layers with a full-sized change
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    alpha_given: bool  # False: the file has none, and alpha = rank was taken
    scale: float
    left_out: tuple[str, ...]  # keys
    idle_patterns: tuple[str, ...]  # alphas of the file for layers that it does not have
    adapter: nn.Module  # the LoRA on the model

    def __str__(self) -> str:
        products = self.adapter.pairs.values()
        methods = sorted({product.method for product in products} - {"LoRA"})
        kind = " and ".join([self.dialect, *methods])
        words = [f"{self.source}: {kind}, {self.matched} of {self.linears} linear layers"]
        if self.ranks:
            strengths = sorted({p.alpha / p.rank for p in products if p.rank})
            alpha = _span(self.alphas) if self.alpha_given else "not given and taken as the rank"
            words += [f"rank {_span(self.ranks)}", f"alpha {alpha} (alpha/rank {_span(strengths)})"]
        if self.differences:
            words += [f"{self.differences} full differences"]
        line = ", ".join([*words, f"scale {self.scale:g}"])
        if self.left_out:
            line += f"; {len(self.left_out)} keys left out ({shorten(self.left_out)})"
        if self.idle_patterns:
            line += f"; alpha_pattern without a layer: {shorten(self.idle_patterns)}"
        return line


def _span(numbers) -> str:
    texts = [f"{number:g}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"
