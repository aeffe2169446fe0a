"""Image to LoRA: a network that looks at pictures once and returns an adapter for the MMDiT.

An image encoder has turned the picture into one vector. For every adapted layer two small maps
without a non-linearity between them write A and B from it, so that a LoRA costs one forward pass
instead of a training. The adapters of several pictures are joined along the rank.

Source: DiffSynth-Studio's QwenImageImage2LoRAModel, whose parameter names these are; its three
releases (Style, Coarse, Fine) differ in the bottleneck and in whether they see text-tower states.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..checkpoint.fill import Weights, fill, name_of
from ..checkpoint.headers import find_tensors
from ..files import CheckpointError
from ..mmdit import MMDiT
from .lora import LoRA
from .lora_dialects import LoRAError
from .lora_layers import Pair

Matrices = dict[str, tuple[torch.Tensor, torch.Tensor]]  # official name: A (r, in), B (out, r)
# the layers of a block that share one residual, each with its factors of D: input and output
GROUPS = (
    {"attn.to_q": (1, 1), "attn.to_k": (1, 1), "attn.to_v": (1, 1), "attn.to_out.0": (1, 1)},
    {"img_mlp.net.2": (4, 1), "img_mod.1": (1, 6)},
    {"attn.add_q_proj": (1, 1), "attn.add_k_proj": (1, 1), "attn.add_v_proj": (1, 1),
     "attn.to_add_out": (1, 1)},
    {"txt_mlp.net.2": (4, 1), "txt_mod.1": (1, 6)},
)  # fmt: skip
RESIDUAL_SCALE = 0.05  # factor of the text tower's states, before they are projected
FIRST_SCALE = 0.3  # factor of the layers towards A, in a new network


@dataclass(frozen=True)
class ImageToLoRAConfig:
    """The numbers of a network; the defaults are those of the release Coarse"""

    num_layers: int = 60  # blocks of the MMDiT
    inner_dim: int = 3072  # D of the MMDiT
    in_dim: int = 1536 + 4096  # length of the picture's vector: SigLIP2's beside DINOv3's
    compress_dim: int = 128  # width of the bottleneck
    rank: int = 4
    residual_length: int = 64 + 7  # states of the text tower: image tokens, then text; 0: not used
    residual_dim: int = 3584
    residual_mid_dim: int = 1024


COARSE = ImageToLoRAConfig()  # sees the picture at 224x224
FINE = ImageToLoRAConfig(residual_length=37 * 37 + 7, residual_mid_dim=64)  # at 1024x1024
STYLE = ImageToLoRAConfig(compress_dim=64, residual_length=0)


class Bottleneck(nn.Module):
    """Two linear maps, through compress_dim numbers to which a residual is added"""

    def __init__(self, in_dim: int, compress_dim: int, out_dim: int):
        super().__init__()
        self.proj_in = nn.Linear(in_dim, compress_dim, bias=False)
        self.proj_out = nn.Linear(compress_dim, out_dim, bias=False)

    def forward(self, x, residual=None):
        x = self.proj_in(x)
        return self.proj_out(x if residual is None else x + residual)


class LayerWriter(nn.Module):
    """(in_dim,) -> A (r, in) and B (out, r) of one linear layer"""

    def __init__(self, config: ImageToLoRAConfig, inputs: int, outputs: int):
        super().__init__()
        self.rank, sizes = config.rank, (config.in_dim, config.compress_dim)
        self.proj_a = Bottleneck(*sizes, inputs * config.rank)
        self.proj_b = Bottleneck(*sizes, outputs * config.rank)

    def forward(self, x, residual=None):
        return self.proj_a(x, residual).view(self.rank, -1), self.proj_b(x, residual).view(
            -1, self.rank
        )


class Residual(nn.Module):
    """Text-tower states to compress_dim numbers: each is made short, then all are read at once"""

    def __init__(self, config: ImageToLoRAConfig):
        super().__init__()
        self.proj_in = nn.Linear(config.residual_dim, config.residual_mid_dim, bias=False)
        joined = config.residual_length * config.residual_mid_dim
        self.proj_out = nn.Linear(joined, config.compress_dim, bias=False)

    def forward(self, states):
        return self.proj_out(self.proj_in(states).flatten())


class GroupWriter(nn.Module):
    """Writes the layers of one group in one block."""

    def __init__(self, config: ImageToLoRAConfig, layers: dict[str, tuple[int, int]]):
        super().__init__()
        D = config.inner_dim
        self.layers = nn.ModuleList(LayerWriter(config, i * D, o * D) for i, o in layers.values())
        self.proj_residual = Residual(config) if config.residual_length else None

    def forward(self, x, states=None):
        residual = None if self.proj_residual is None else self.proj_residual(states)
        return [layer(x, residual) for layer in self.layers]


class ImageToLoRA(nn.Module):
    """One picture's vector, and text-tower states where the release reads them -> a LoRA"""

    def __init__(self, config: ImageToLoRAConfig):
        super().__init__()
        self.config = config
        # careful: all blocks of the first group come first, then all of the second
        self.places = [(layers, i) for layers in GROUPS for i in range(config.num_layers)]
        self.blocks = nn.ModuleList(GroupWriter(config, layers) for layers, _ in self.places)

    @torch.no_grad()
    def initialise(self) -> None:
        """A new network's adapters add nothing: B is zero, and A is small."""
        for name, parameter in self.named_parameters():
            if ".proj_a." in name or ".proj_residual.proj_out." in name:
                parameter.mul_(FIRST_SCALE)
            elif ".proj_b.proj_out." in name:
                parameter.zero_()

    def forward(self, x, states=None) -> Matrices:
        """x (in_dim,), states (L, residual_dim) or None -> {official name: A, B}

        Raises ValueError for other shapes, one line.
        """
        self._demand(x, states)
        states = states * RESIDUAL_SCALE if self.config.residual_length else None
        return {
            f"transformer_blocks.{i}.{name}": pair
            for (layers, i), block in zip(self.places, self.blocks)
            for name, pair in zip(layers, block(x, states))
        }

    def _demand(self, x, states) -> None:
        config = self.config
        if tuple(x.shape) != (config.in_dim,):
            raise ValueError(f"x must have the shape ({config.in_dim},), got {tuple(x.shape)}")
        wanted = (config.residual_length, config.residual_dim)
        if config.residual_length and (states is None or tuple(states.shape) != wanted):
            got = "none" if states is None else tuple(states.shape)
            raise ValueError(
                f"states must have the shape {wanted}, got {got}; give the text tower's states of "
                "the picture at the size of this release"
            )


def joined(loras: list[Matrices]) -> Matrices:
    """The adapters of N pictures as one whose product is their mean; ranks add up"""
    if not loras:
        raise LoRAError("pictures must be at least one, got none; give the pictures of a style")
    return {
        name: (
            torch.cat([lora[name][0] for lora in loras]) / len(loras),
            torch.cat([lora[name][1] for lora in loras], dim=1),
        )
        for name in loras[0]
    }


def attach(mmdit: MMDiT, matrices: Matrices, scale: float = 1.0) -> LoRA:
    """Put a written adapter on the MMDiT, as one from a file; alpha is the rank"""
    pairs = {name: Pair(A.detach(), B.detach(), len(A)) for name, (A, B) in matrices.items()}
    return LoRA(mmdit, pairs, scale=scale)


def load(source: str | Path, mmdit: MMDiT, dtype=None, device="cpu") -> ImageToLoRA:
    """A file of one of the releases, or of the same kind -> the network that writes for `mmdit`

    dtype None: that of the file. Raises CheckpointError, one line, for a file of anything else and
    for one that was made for another transformer.
    """
    path = Path(source)
    places = find_tensors(path)
    config = _config(path, {name: place.shape for name, place in places.items()}, mmdit.config)
    with torch.device("meta"):
        network = ImageToLoRA(config)
    fill(network, Weights(name_of(path), places), dtype, device)
    return network.eval().requires_grad_(False)


def _config(path: Path, shapes: dict, mmdit) -> ImageToLoRAConfig:
    """The network that the shapes in a file describe"""
    D, first = mmdit.inner_dim, "blocks.0.layers.0.proj_a"
    (outputs, compress_dim), (_, in_dim) = (
        shapes.get(f"{first}.{name}.weight", (0, 0)) for name in ("proj_out", "proj_in")
    )
    if not outputs:
        raise CheckpointError(
            f"{path} must hold a network from pictures to LoRA, by its header it holds none; see "
            "`qwenimage info FILE`"
        )
    blocks = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    if outputs % D or len(blocks) != len(GROUPS) * mmdit.num_layers:
        raise CheckpointError(
            f"{path} must write for a transformer of {mmdit.num_layers} blocks that is {D} wide, "
            f"got {len(blocks) / len(GROUPS):g} blocks and {outputs} numbers a matrix; take the "
            "one of this model"
        )
    mid, residual_dim = shapes.get("blocks.0.proj_residual.proj_in.weight", (0, 0))
    joined_states = shapes.get("blocks.0.proj_residual.proj_out.weight", (0, 0))[1]
    return ImageToLoRAConfig(
        mmdit.num_layers, D, in_dim, compress_dim, outputs // D,
        joined_states // max(mid, 1), residual_dim, mid,
    )  # fmt: skip
