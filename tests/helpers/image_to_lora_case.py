"""A small network from pictures to LoRA, run by us and by DiffSynth-Studio.

    python tests/helpers/image_to_lora_case.py

writes the matrices of DiffSynth's blocks to tests/golden/image_to_lora.safetensors. It needs
diffsynth 2.1.12, which nothing else here needs; `test_image_to_lora.py` compares ours with the
file.
"""

from pathlib import Path

import torch

from qwenimage_ref.adapt.image_to_lora import GROUPS, ImageToLoRA, ImageToLoRAConfig, joined
from qwenimage_ref.parity.reference import random_weights

FILE = Path(__file__).parents[1] / "golden" / "image_to_lora.safetensors"
SMALL = ImageToLoRAConfig(
    num_layers=2, inner_dim=8, in_dim=12, compress_dim=5, rank=3, residual_length=0
)
READING = ImageToLoRAConfig(
    num_layers=2, inner_dim=8, in_dim=12, compress_dim=5, rank=3,
    residual_length=4, residual_dim=6, residual_mid_dim=3,
)  # fmt: skip
CASES = {"vector alone": SMALL, "vector and states": READING}
PICTURES = 2


def network(config: ImageToLoRAConfig) -> ImageToLoRA:
    return random_weights(ImageToLoRA(config), 4)


def inputs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The vector and the text-tower states of each picture"""
    rng = torch.Generator().manual_seed(7)
    return [
        (torch.randn(SMALL.in_dim, generator=rng), torch.randn(4, 6, generator=rng))
        for _ in range(PICTURES)
    ]


@torch.no_grad()
def ours() -> dict[str, torch.Tensor]:
    """{case, layer and A or B: the joined matrices of all pictures}"""
    matrices = {}
    for case, config in CASES.items():
        net = network(config)
        for name, (A, B) in joined([net(*picture) for picture in inputs()]).items():
            matrices |= {f"{case} {name} A": A, f"{case} {name} B": B}
    return matrices


@torch.no_grad()
def diffsynths() -> dict[str, torch.Tensor]:
    from diffsynth.models.qwen_image_image2lora import LoRATrainerBlock
    from diffsynth.utils.lora.merge import merge_lora

    matrices = {}
    for case, config in CASES.items():
        reads, D = config.residual_length > 0, config.inner_dim
        blocks = torch.nn.ModuleList(
            LoRATrainerBlock(
                [(name, i * D, o * D) for name, (i, o) in group.items()],
                config.in_dim, config.compress_dim, config.rank, number, reads,
                config.residual_length, config.residual_dim, config.residual_mid_dim,
            )
            for group in GROUPS
            for number in range(config.num_layers)
        )  # fmt: skip
        net = torch.nn.Module()
        net.blocks = blocks
        net.load_state_dict(network(config).state_dict())
        loras = [
            {
                key: value
                for block in blocks
                for key, value in block(x[None], states[None] * 0.05 if reads else None).items()
            }
            for x, states in inputs()
        ]
        for key, value in merge_lora(loras, alpha=1 / PICTURES).items():
            name, kind = key.removesuffix(".default.weight").rsplit(".lora_", 1)
            matrices[f"{case} {name} {kind}"] = value
    return matrices


if __name__ == "__main__":
    from safetensors.torch import save_file

    save_file({name: each.contiguous() for name, each in diffsynths().items()}, FILE)
