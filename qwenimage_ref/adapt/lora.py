"""LoRA: a small pair of matrices beside each of some linear layers, put on from outside.

    y = W x + b + scale * alpha / r * B (A x)        A (r, in), B (out, r)

An adapter hangs on its model by hooks: no class is exchanged and no parameter of the model gets
another name, so a model with adapters is loaded, saved and streamed as one without. Files of every
dialect are read by lora_dialects.py.
"""

import json
import math
import weakref
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ..files import shorten, whole_file
from .lora_dialects import LoRAError, read_pairs
from .streaming import named_linears

PREFIX = "transformer."  # under which diffusers keeps the keys of the MMDiT

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
             "to_add_out")  # fmt: skip
BLOCK = "transformer_blocks.*."
# which linears the public trainers adapt, of each block
TARGETS = {
    "diffusers": tuple(f"{BLOCK}attn.{name}" for name in ATTENTION[:4]),
    "Lightning": (*(f"{BLOCK}attn.{name}" for name in ATTENTION), f"{BLOCK}*_mlp.net.*"),
    "DiffSynth": (
        *(f"{BLOCK}attn.{name}" for name in ATTENTION),
        *(f"{BLOCK}{name}" for name in ("img_mlp.net.2", "txt_mlp.net.2", "*_mod.1")),
    ),
    "musubi": (f"{BLOCK}*",),
}

# careful: weak, so that an adapter lives no longer than the model that it hangs on
_ADAPTERS: "weakref.WeakKeyDictionary[nn.Module, list[LoRA]]" = weakref.WeakKeyDictionary()
# of models whose adapters are merged: the weights as they were before
_BEFORE: "weakref.WeakKeyDictionary[nn.Module, dict]" = weakref.WeakKeyDictionary()


class Pair(nn.Module):
    """A and B of one linear layer; alpha says how strongly they count."""

    def __init__(self, lora_A: torch.Tensor, lora_B: torch.Tensor, alpha: float):
        super().__init__()
        self.lora_A, self.lora_B = nn.Parameter(lora_A), nn.Parameter(lora_B)
        self.alpha = float(alpha)

    @property
    def rank(self) -> int:
        return len(self.lora_A)

    def delta(self) -> torch.Tensor:
        """-> (out, in) what it adds to the weight at scale 1, in float32"""
        A, B = self.lora_A.detach().float(), self.lora_B.detach().float()
        return self.alpha / self.rank * (B @ A)

    def forward(self, x, y, scale: float = 1.0):
        """(..., in), (..., out) -> (..., out): y with the pair's share added, in y's dtype"""
        down = x.to(y.dtype) @ self.lora_A.to(y.dtype).T
        added = torch.addmm(
            y.flatten(0, -2), down.flatten(0, -2), self.lora_B.to(y.dtype).T,
            alpha=scale * self.alpha / self.rank,
        )  # fmt: skip
        return added.view_as(y)


class LoRA(nn.Module):
    """One adapter on one model. `scale` may be changed at any time; 0 is the model itself."""

    def __init__(self, model: nn.Module, pairs: dict[str, Pair], scale: float = 1.0):
        super().__init__()
        linears = named_linears(model)
        self.names = {_flat(name): name for name in pairs}
        self.pairs = nn.ModuleDict({_flat(name): pair for name, pair in pairs.items()})
        self.scale = float(scale)
        self.merged = False  # then the weights hold it, and the hooks rest
        self._hooks = [
            linears[name].register_forward_hook(self._hook(pair)) for name, pair in pairs.items()
        ]

    def _hook(self, pair: Pair):
        def add(_linear, inputs, output):
            if self.scale == 0 or self.merged:
                return output
            return pair(inputs[0], output, self.scale)

        return add

    def named_pairs(self) -> dict[str, Pair]:
        """{official name of the linear layer: its pair}"""
        return {self.names[key]: pair for key, pair in self.pairs.items()}

    def remove(self) -> None:
        """Take the adapter off its model, which is then what it was."""
        for hook in self._hooks:
            hook.remove()
        for model, held in _ADAPTERS.items():
            if self in held:
                if self.merged:
                    unmerge(model)
                held.remove(self)


@dataclass(frozen=True)
class Report:
    """What was loaded, and onto what."""

    source: str
    dialect: str
    matched: int  # linear layers of the model that have a pair now
    linears: int  # that the model has
    ranks: tuple[int, ...]
    alphas: tuple[float, ...]
    alpha_given: bool  # False: the file has none, and alpha = rank was taken
    scale: float
    adapter: LoRA

    def __str__(self) -> str:
        factors = sorted({pair.alpha / pair.rank for pair in self.adapter.pairs.values()})
        alpha = _few(self.alphas) if self.alpha_given else "not given, so as large as the rank"
        return (
            f"{self.source}: {self.dialect}, {self.matched} of {self.linears} linear layers, "
            f"rank {_few(self.ranks)}, alpha {alpha}: B A counts {_few(factors)} times, "
            f"at scale {self.scale:g}"
        )


def _few(numbers) -> str:
    texts = [f"{number:g}" for number in numbers]
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _flat(name: str) -> str:
    return name.replace(".", "_")  # as kohya writes it; module names have no dots


def adapters(model: nn.Module) -> list[LoRA]:
    """All that hang on the model, in the order in which they came."""
    return list(_ADAPTERS.get(model, ()))


def inject(
    model: nn.Module, patterns, rank: int, alpha: float | None = None, seed: int = 0
) -> LoRA:
    """Hang an untrained adapter on all linear layers whose names fit one of the patterns.

    patterns: as for file names, `*` for anything; TARGETS holds those of the public trainers.
    alpha None: the rank, so that B A counts once. A is drawn as PEFT draws it, B is zero, so that
    nothing changes at first. Only the adapter is trained from now on: the model's own parameters
    ask for no gradient any more. Raises LoRAError for a pattern that nothing fits.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    linears = named_linears(model)
    if rank < 1:
        raise LoRAError(f"a rank of {rank} holds nothing; give at least 1")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in linears):
            raise LoRAError(
                f"no linear layer is called {pattern}; there are {shorten(list(linears))}"
            )
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, linear in linears.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            bound = 1 / math.sqrt(linear.in_features)
            device = _device(model)
            # careful: in float32 whatever the model holds, or small updates would be rounded away
            A = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
            B = torch.zeros(linear.out_features, rank)
            pairs[name] = Pair(A.to(device), B.to(device), rank if alpha is None else alpha)
    model.requires_grad_(False)
    return _hang(model, pairs, 1.0)


def load(model: nn.Module, file_or_folder: str | Path, scale: float = 1.0) -> Report:
    """Hang the adapter of a file, or of PEFT's folder, on the model. Any dialect.

    Raises LoRAError, one line, unless every key of the file belongs to a linear layer of this model
    and fits it; the model is then unchanged. Several adapters add up.
    """
    path, linears = Path(file_or_folder), named_linears(model)
    sizes = {name: (linear.out_features, linear.in_features) for name, linear in linears.items()}
    found = read_pairs(path, sizes)
    device = _device(model)
    pairs = {
        name: Pair(A.to(device), B.to(device), alpha) for name, (A, B, alpha) in found.pairs.items()
    }
    adapter = _hang(model, pairs, scale)
    adapter.requires_grad_(False)
    ranks = tuple(sorted({pair.rank for pair in pairs.values()}))
    alphas = tuple(sorted({pair.alpha for pair in pairs.values()}))
    return Report(
        path.name, found.dialect, len(pairs), len(sizes), ranks, alphas, found.alpha_given,
        float(scale), adapter,
    )  # fmt: skip


def save(model: nn.Module, file: str | Path) -> None:
    """Write the model's one adapter as PEFT and diffusers do: a .safetensors file, whole or not.

    The scale is not in it: it belongs to whoever uses the file.
    """
    held = adapters(model)
    if len(held) != 1:
        raise LoRAError(f"the model has {len(held)} adapters; a file holds one: remove the others")
    file, pairs, tensors = Path(file), held[0].named_pairs(), {}
    if file.suffix != ".safetensors":
        raise LoRAError(f"{file} must end in .safetensors")
    for name, pair in pairs.items():
        for part in ("lora_A", "lora_B"):
            weight = getattr(pair, part).detach().cpu().contiguous()
            tensors[f"{PREFIX}{name}.{part}.weight"] = weight
    first = next(iter(pairs.values()))
    settings = {
        "r": first.rank,
        "lora_alpha": first.alpha,
        "target_modules": sorted(pairs),
        "rank_pattern": {n: p.rank for n, p in pairs.items() if p.rank != first.rank},
        "alpha_pattern": {n: p.alpha for n, p in pairs.items() if p.alpha != first.alpha},
    }
    told = {f"{PREFIX}{key}": value for key, value in settings.items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(told, sort_keys=True)}
    with whole_file(file) as partial:
        save_file(tensors, partial, metadata=metadata)


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Put every adapter into the weights: summed in float32, rounded once. `unmerge` undoes it.

    The weights as they were are kept for that. Scales are those of this moment.
    """
    _demand_unmerged(model)
    held, linears, sums = adapters(model), named_linears(model), {}
    for adapter in held:
        for name, pair in adapter.named_pairs().items():
            weight = _plain_weight(name, linears[name])
            sums.setdefault(name, weight.detach().float())
            sums[name] = sums[name] + adapter.scale * pair.delta()
    _BEFORE[model] = {name: linears[name].weight.detach().clone() for name in sums}
    for name, total in sums.items():
        linears[name].weight.copy_(total)
    for adapter in held:
        adapter.merged = True


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Give the weights back as they were before `merge`, to the last bit."""
    if model not in _BEFORE:
        raise LoRAError("no adapter is merged")
    linears = named_linears(model)
    for name, weight in _BEFORE.pop(model).items():
        linears[name].weight.copy_(weight)
    for adapter in adapters(model):
        adapter.merged = False


def _plain_weight(name: str, linear: nn.Module) -> torch.Tensor:
    weight = getattr(linear, "weight", None)
    if weight is None or weight.is_meta or weight.dtype.itemsize < 2:
        raise LoRAError(
            f"{name} holds no plain weights to merge into (they are streamed or quantised); "
            "the adapter works unmerged"
        )
    return weight


def _demand_unmerged(model: nn.Module) -> None:
    if model in _BEFORE:
        raise LoRAError("the model's adapters are merged into its weights; unmerge them first")


def _hang(model: nn.Module, pairs: dict[str, Pair], scale: float) -> LoRA:
    _demand_unmerged(model)
    adapter = LoRA(model, pairs, scale)
    _ADAPTERS.setdefault(model, []).append(adapter)
    return adapter


def _device(model: nn.Module) -> torch.device:
    """Where the model computes: a streamed one keeps some layers, of no block, in memory."""
    return next(model.parameters()).device
