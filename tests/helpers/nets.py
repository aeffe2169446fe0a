"""A small MMDiT with random weights, and a LoRA on it that does something."""

import torch

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
