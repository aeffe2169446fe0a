"""The control network of InstantX: a short copy of the transformer that also reads a picture.

It runs beside the MMDiT on the same noisy latents, text and noise level. What it sees in the
control picture comes out as a few tensors that are added to the MMDiT's image stream.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from .config import MMDiTConfig
from .mmdit import Block, RMSNorm, TimeTextEmbed, visible
from .rope import positions, rotations


@dataclass(frozen=True)
class ControlNetConfig(MMDiTConfig):
    """config.json of a control network: the keys of the transformer's, and one of its own"""

    num_layers: int = 5  # Union; 6 in Inpainting
    extra_condition_channels: int = 0  # Inpainting: 4, the mask of the pixels of a token

    @property
    def control_channels(self) -> int:
        """Numbers in a token of the control picture: 64, with a mask 68."""
        return self.in_channels + self.extra_condition_channels


class ControlNet(nn.Module):
    """Packed noisy latents, a packed control picture, text and noise level to residuals

    Union tells edges, depth and poses apart by itself; Inpainting reads a picture with a hole.
    Source: diffusers' QwenImageControlNetModel.
    """

    def __init__(self, config: ControlNetConfig):
        super().__init__()
        self.config = config
        dim, heads = config.inner_dim, config.num_attention_heads
        # careful: upstream's order of registration
        self.time_text_embed = TimeTextEmbed(dim, additional_row=False)
        self.txt_norm = RMSNorm(config.joint_attention_dim)
        self.img_in = nn.Linear(config.in_channels, dim)
        self.txt_in = nn.Linear(config.joint_attention_dim, dim)
        self.transformer_blocks = nn.ModuleList(Block(dim, heads) for _ in range(config.num_layers))
        self.controlnet_blocks = nn.ModuleList(nn.Linear(dim, dim) for _ in self.transformer_blocks)
        self.controlnet_x_embedder = nn.Linear(config.control_channels, dim)
        # a new network adds nothing: training starts from the pictures of the model as it is
        for layer in (*self.controlnet_blocks, self.controlnet_x_embedder):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, img, control, txt, sigma, grid, txt_mask=None) -> list[torch.Tensor]:
        """(B, I, 64), (B, I, Dc), (B, T, Dt), (B,) -> 2 x (B, I, D): one tensor for each layer

        img: packed noisy latents; control: the packed picture, Dc = 64, or 68 with a mask.
        sigma: noise level. grid: (1, rows, cols) of both. txt_mask: (B, T), as for the MMDiT.
        """
        places = positions([grid], txt.shape[1])
        axes = self.config.axes_dims_rope
        img_rotation, txt_rotation = (rotations(p.to(img.device), axes) for p in places)
        temb = self.time_text_embed(sigma.to(img.dtype).unsqueeze(1))
        shared = temb, img_rotation, txt_rotation, visible(txt_mask, None, img.shape[1])

        img = self.img_in(img) + self.controlnet_x_embedder(control)
        txt = self.txt_in(self.txt_norm(txt))
        residuals = []
        for block, linear in zip(self.transformer_blocks, self.controlnet_blocks):
            img, txt = block(img, txt, *shared)
            residuals.append(linear(img))
        return residuals


def residual_of(block: int, blocks: int, residuals: list[torch.Tensor]) -> torch.Tensor:
    """What is added behind one of the MMDiT's blocks: each residual serves several in a row."""
    return residuals[block // math.ceil(blocks / len(residuals))]
