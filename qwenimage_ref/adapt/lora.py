"""LoRA: a small pair of matrices beside each of some linear layers, attached from outside.

    y = W x + b + scale * alpha / r * B (A x)        A (r, in), B (out, r)

An adapter acts through forward hooks: no class is exchanged and no parameter is renamed, so a model
with adapters is loaded, saved and streamed like one without. Files of every dialect are read by
lora_files.py; some of them change whole weights, biases and norms besides, or in other ways.
"""

import contextlib
import functools
import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn

from ..files import shorten
from ..mmdit import RMSNorm
from .lora_dialects import LoRAError
from .lora_files import Content, Report, read_adapter, write_adapter
from .lora_kinds import Decomposed, Hadamard, Kronecker
from .lora_layers import Difference, Pair
from .lora_settings import number
from .streaming import named_layers, named_linears

__all__ = [
    "TARGETS", "Difference", "LoRA", "LoRAError", "Pair", "Report", "adapters", "inject", "load",
    "merge", "named_linears", "save", "unmerge",
]  # fmt: skip

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj",
             "to_add_out")  # fmt: skip
BLOCK = "transformer_blocks.*."
# linear layers of each block that the public trainers adapt
TARGETS = {
    "diffusers": tuple(f"{BLOCK}attn.{name}" for name in ATTENTION[:4]),
    "Lightning": (*(f"{BLOCK}attn.{name}" for name in ATTENTION), f"{BLOCK}*_mlp.net.*"),
    "DiffSynth": (
        *(f"{BLOCK}attn.{name}" for name in ATTENTION),
        *(f"{BLOCK}{name}" for name in ("img_mlp.net.2", "txt_mlp.net.2", "*_mod.1")),
    ),
    "musubi": (f"{BLOCK}*",),
}


Product = Pair | Kronecker | Hadamard | Decomposed  # a change of a weight by small matrices


@dataclass(eq=False)
class _Attached:
    """The adapters of one model, and the parameters that merging them has replaced."""

    adapters: list["LoRA"] = field(default_factory=list)
    # layer, name of its parameter, the parameter's value before
    originals: list[tuple[nn.Module, str, torch.Tensor]] = field(default_factory=list)


class LoRA(nn.Module):
    """One adapter on one model. `scale` may be changed at any time; 0 is the model itself."""

    def __init__(
        self,
        model: nn.Module,
        pairs: dict[str, Product],
        differences: dict[str, Difference] | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        differences = differences or {}
        self.names = {_flat(name): name for name in pairs | differences}
        self.pairs = nn.ModuleDict({_flat(name): pair for name, pair in pairs.items()})
        self.differences = nn.ModuleDict({_flat(name): d for name, d in differences.items()})
        self.scale = float(scale)
        layers = named_layers(model)
        self._hooks = [
            layers[name].register_forward_hook(
                functools.partial(self._hook, part), prepend=isinstance(part, Decomposed)
            )
            for name, part in self.named_parts()
        ]
        self._attached = _attached(model)
        self._attached.adapters.append(self)

    def _hook(self, part: Product | Difference, layer, inputs, output):
        if self.scale == 0 or self.merged:
            return output
        return part(inputs[0], output, self.scale)

    @property
    def merged(self) -> bool:
        """Whether the weights contain the adapter now; the hooks then do nothing."""
        return bool(self._attached.originals)

    def named_pairs(self) -> dict[str, Product]:
        """{official name of the linear layer: its pair, LoKr, LoHa or DoRA}"""
        return {self.names[key]: pair for key, pair in self.pairs.items()}

    def named_parts(self) -> list[tuple[str, Product | Difference]]:
        """[(official name of the layer, what is added to it), ...]; a name may come twice."""
        both = [*self.pairs.items(), *self.differences.items()]
        return [(self.names[key], part) for key, part in both]

    @contextlib.contextmanager
    def off(self):
        """Context in which the model computes without the adapter."""
        scale, self.scale = self.scale, 0.0
        try:
            yield
        finally:
            self.scale = scale

    def remove(self) -> None:
        """Take the adapter off its model, which is then as it was before."""
        if self not in self._attached.adapters:
            return
        if self.merged:
            _restore(self._attached)
        for hook in self._hooks:
            hook.remove()
        self._attached.adapters.remove(self)


def _flat(name: str) -> str:
    return name.replace(".", "_")  # kohya's spelling; module names have no dots


def adapters(model: nn.Module) -> list[LoRA]:
    """All adapters on the model, in the order in which they were added."""
    return list(_attached(model).adapters)


def inject(
    model: nn.Module, patterns, rank: int, alpha: float | None = None, seed: int = 0
) -> LoRA:
    """Attach an untrained adapter to all linear layers whose names fit one of the patterns.

    patterns: as for file names, `*` for anything; TARGETS has those of the public trainers. alpha
    None is the rank, so that B A counts once. A is drawn as PEFT draws it, B is zero, so that the
    model computes what it did. From now on only the adapter requires gradients, no longer the
    model. Raises LoRAError for a pattern that fits no layer, for rank 0 and for alpha 0.
    """
    _demand_unmerged(model)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    linears, alpha = named_linears(model), _alpha(rank, alpha)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in linears):
            raise LoRAError(
                f"a pattern must fit a linear layer, got {pattern}; the model has "
                f"{shorten(list(linears))}"
            )
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, linear in linears.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            bound = 1 / math.sqrt(linear.in_features)
            device = _device(model)
            # careful: float32 whatever the model's type, or small updates would be rounded away
            A = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
            B = torch.zeros(linear.out_features, rank)
            pairs[name] = Pair(A.to(device), B.to(device), alpha)
    model.requires_grad_(False)
    return LoRA(model, pairs)


def _alpha(rank: int, alpha: float | None) -> float:
    """-> alpha, which is the rank if None. Raises LoRAError for a rank or alpha of no effect."""
    if rank < 1:
        raise LoRAError(f"rank must be at least 1, got {rank}")
    try:
        return float(rank) if alpha is None else number(alpha, "alpha")
    except ValueError as error:
        raise LoRAError(str(error)) from None


def load(
    model: nn.Module, file_or_folder: str | Path, scale: float = 1.0, partial: bool = False
) -> Report:
    """Attach the adapter of a file of any dialect, or of PEFT's folder, to the model.

    partial: keys of other layers and of other methods are left out, and listed in the report.
    Several adapters add up. Raises CheckpointError for a damaged file, and LoRAError unless every
    key belongs to a layer of this model and fits it; the model is then unchanged.
    """
    _demand_unmerged(model)
    if not math.isfinite(scale):
        raise LoRAError(f"scale must be finite, got {scale}")
    path, device, linears = Path(file_or_folder), _device(model), named_linears(model)
    content = read_adapter(path, layer_shapes(model), partial)

    def placed(tensor: torch.Tensor | None) -> torch.Tensor | None:
        return None if tensor is None else tensor.to(device)

    pairs = _products(model, path, content, device)
    differences = {
        name: Difference(*map(placed, both)) for name, both in content.differences.items()
    }
    adapter = LoRA(model, pairs, differences, scale).requires_grad_(False)
    return Report(
        path.name, content.dialect, len(pairs), len(linears), len(differences),
        tuple(sorted({pair.rank for pair in pairs.values() if pair.rank})),
        tuple(sorted({pair.alpha for pair in pairs.values() if pair.rank})),
        content.alpha_given, float(scale), tuple(content.left_out), tuple(content.idle_patterns),
        adapter,
    )  # fmt: skip


def _products(model: nn.Module, path: Path, content: Content, device) -> dict[str, Product]:
    """{official name: its product}. Raises LoRAError for a second DoRA on one layer."""
    products = {name: Pair(A, B, alpha) for name, (A, B, alpha) in content.pairs.items()}
    products |= content.changes
    layers = named_layers(model) if content.magnitudes else {}
    decomposed = {
        name for adapter in adapters(model) for name, pair in adapter.named_pairs().items()
        if isinstance(pair, Decomposed)
    }  # fmt: skip
    for name, magnitude in content.magnitudes.items():
        if name in decomposed:  # two lengths of the same rows do not add up
            raise LoRAError(f"{path}: {name} must have one DoRA, got a second; remove the first")
        products[name] = Decomposed(products[name], magnitude, layers[name])
    return {name: product.to(device) for name, product in products.items()}


def save(model: nn.Module, file: str | Path) -> None:
    """Write the model's one adapter as a .safetensors file, whole or not at all.

    Keys are ComfyUI's, with alpha as a tensor beside each pair: diffusers, DiffSynth and musubi
    read these at the right strength, too. The scale is not in the file. Raises LoRAError.
    """
    attached, content = adapters(model), {}
    if len(attached) != 1:
        raise LoRAError(f"the model must have one adapter to save, got {len(attached)}")
    for name, part in attached[0].named_parts():
        content.setdefault(name, {}).update(part.stored())
    write_adapter(Path(file), content)


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add every adapter to the weights: summed in float32, rounded once. `unmerge` undoes it.

    The weights as they were are kept for that. The scales are those of this moment.
    """
    _demand_unmerged(model)
    attached, layers, sums = _attached(model), named_layers(model), {}
    for adapter in attached.adapters:
        for name, part in adapter.named_parts():
            for kind in part.changed:
                if (name, kind) not in sums:
                    sums[name, kind] = _plain(name, layers[name], kind).detach().float()
            for kind, change in part.changes().items():
                sums[name, kind] = sums[name, kind] + adapter.scale * change
    for name, kind in sums:
        original = getattr(layers[name], kind).detach().clone()
        attached.originals.append((layers[name], kind, original))
    for (name, kind), total in sums.items():
        getattr(layers[name], kind).copy_(total)


def unmerge(model: nn.Module) -> None:
    """Give the weights back as they were before `merge`, to the last bit."""
    if not _attached(model).originals:
        raise LoRAError("the model must have merged adapters to unmerge, got none")
    _restore(_attached(model))


@torch.no_grad()
def _restore(attached: _Attached) -> None:
    for layer, kind, original in attached.originals:
        getattr(layer, kind).copy_(original)
    attached.originals.clear()


def _plain(name: str, layer: nn.Module, kind: str) -> torch.Tensor:
    """The parameter that a change is merged into."""
    parameter = getattr(layer, kind, None)
    if parameter is None or parameter.is_meta or parameter.dtype.itemsize < 2:
        raise LoRAError(
            f"{name} has no plain {kind} to merge into (it is streamed or quantised); "
            "the adapter works unmerged"
        )
    return parameter


def _attached(model: nn.Module) -> _Attached:
    # careful: past nn.Module's own bookkeeping, so that nothing of it is in the state dict
    return vars(model).setdefault("_lora", _Attached())


def _demand_unmerged(model: nn.Module) -> None:
    if _attached(model).originals:
        raise LoRAError("the model's adapters are merged into its weights; unmerge them first")


def layer_shapes(model: nn.Module) -> dict[str, torch.Size]:
    """{official name: shape of the weight} of all layers that an adapter may change."""
    norms = {n: layer for n, layer in named_layers(model).items() if isinstance(layer, RMSNorm)}
    shapes = {name: norm.weight.shape for name, norm in norms.items()}
    # careful: the weight of a packed layer has another shape
    for name, linear in named_linears(model).items():
        shapes[name] = torch.Size([linear.out_features, linear.in_features])
    return shapes


def _device(model: nn.Module) -> torch.device:
    """Where the model computes: a streamed one keeps the layers outside its blocks in memory."""
    return next(model.parameters()).device
