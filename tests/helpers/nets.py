"""A small MMDiT with random weights, and a LoRA on it that does something."""

from dataclasses import dataclass

import torch

from qwenimage_ref.adapt import lora
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

SMALL = MMDiTConfig(
    num_layers=2,
    num_attention_heads=2,
    attention_head_dim=16,
    joint_attention_dim=40,
    axes_dims_rope=(4, 4, 8),
)


def model(seed=0) -> MMDiT:
    with torch.device("meta"):
        empty = MMDiT(SMALL)
    return random_weights(empty, seed)


@torch.no_grad()
def velocity(mmdit, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    img = torch.randn(1, 12, 64, generator=generator).to(dtype)
    txt = torch.randn(1, 5, 40, generator=generator).to(dtype)
    return mmdit(img, txt, torch.tensor([0.5]), [(1, 3, 4)])


def filled(adapter, seed=3):
    """B is no longer zero, so that the adapter does something."""
    generator = torch.Generator().manual_seed(seed)
    for pair in adapter.pairs.values():
        pair.lora_B.data.normal_(0, 0.3, generator=generator)
    return adapter


@dataclass(frozen=True)
class Pass:
    """A forward pass: where the weights of the network and its text states lie in memory."""

    weights: tuple[int, ...]
    txt: int
    scale: float  # of the network's adapter


def addresses(mmdit: MMDiT) -> tuple[int, ...]:
    return tuple(weight.data_ptr() for weight in mmdit.parameters())


def recorded_passes(monkeypatch) -> list[Pass]:
    """A list to which every forward pass of any MMDiT is added from now on."""
    forward, passes = MMDiT.forward, []

    def recorded(mmdit, img, txt, *rest, **more):
        (adapter,) = lora.adapters(mmdit)
        passes.append(Pass(addresses(mmdit), txt.data_ptr(), adapter.scale))
        return forward(mmdit, img, txt, *rest, **more)

    monkeypatch.setattr(MMDiT, "forward", recorded)
    return passes
