"""Control from outside: networks that look at a picture and add to the MMDiT's image stream.

Two kinds exist. InstantX's `ControlNet` runs once a step beside the MMDiT. The blockwise networks
of DiffSynth are no copy of it: one small block of two linear layers stands behind each of the
MMDiT's, without text, time or attention. Either adds nothing where its output layers are zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ..controlnet import ControlNet, residual_of
from ..mmdit import Call, MMDiT, RMSNorm


@dataclass(frozen=True)
class BlockwiseConfig:
    """The numbers of a blockwise network; files hold no config, so shapes tell them."""

    num_layers: int = 60  # number of blocks, at most the MMDiT's
    inner_dim: int = 3072  # D
    in_channels: int = 64
    extra_condition_channels: int = 0  # Inpaint: 4, the mask of the latents of a token

    @property
    def control_channels(self) -> int:
        """Numbers in a token of the control picture: 64, with a mask 68."""
        return self.in_channels + self.extra_condition_channels


class BlockwiseBlock(nn.Module):
    """(B, I, D), (B, I, D) -> (B, I, D): the image stream and the picture to what is added"""

    def __init__(self, dim: int):
        super().__init__()
        self.x_rms, self.y_rms = RMSNorm(dim), RMSNorm(dim)
        self.input_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)

    def forward(self, img, control):
        # careful: the exact GELU here, the tanh approximation in the MMDiT
        return self.output_proj(F.gelu(self.input_proj(self.x_rms(img) + self.y_rms(control))))


class BlockwiseControlNet(nn.Module):
    """A control picture to what is added behind each block of the MMDiT

    Canny, Depth and Inpaint are three files of it. Source: DiffSynth-Studio's
    QwenImageBlockWiseControlNet.
    """

    def __init__(self, config: BlockwiseConfig):
        super().__init__()
        self.config = config
        self.img_in = nn.Linear(config.control_channels, config.inner_dim)
        self.controlnet_blocks = nn.ModuleList(
            BlockwiseBlock(config.inner_dim) for _ in range(config.num_layers)
        )
        # a new network adds nothing. Its output layers get the first gradient; img_in gets one
        # when they are no longer zero
        for layer in (self.img_in, *(block.output_proj for block in self.controlnet_blocks)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, control):
        """(B, I, Dc) -> (B, I, D): a packed picture embedded; Dc = 64, or 68 with a mask"""
        return self.img_in(control)


@dataclass(frozen=True)
class Applied:
    """A control network on one picture, in one run of the sampler"""

    net: ControlNet | BlockwiseControlNet
    tokens: torch.Tensor  # (B, I, 64 or 68), the packed picture
    scale: float = 1.0
    start: float = 0.0  # share of the steps from which on it acts
    end: float = 1.0  # share up to which it acts

    def acts(self, step: int, steps: int) -> bool:
        """Whether a step lies inside the window, as each kind's upstream counts."""
        if isinstance(self.net, ControlNet):  # the whole step has to
            return self.start <= step / steps and (step + 1) / steps <= self.end
        # place of the step, from 0 at the first step to 1 at the last
        place = 1 - (steps - 1 - step) / max(steps - 1, 1)
        return self.start - 1e-4 <= place <= self.end + 1e-4

    def added(self, call: Call, blocks: int) -> Callable:
        """What the picture adds to a call of the MMDiT, as a function of block i and its image"""
        if isinstance(self.net, ControlNet):
            target = call.img[:, : self.tokens.shape[1]]
            shared = call.txt, call.sigma, call.grids[0], call.txt_mask
            residuals = [each * self.scale for each in self.net(target, self.tokens, *shared)]
            return lambda i, img: residual_of(i, blocks, residuals)
        control = self.net(self.tokens)
        block = self.net.controlnet_blocks
        # a network in training is float32, whatever the stream's type
        return lambda i, img: (block[i](img, control) * self.scale).to(img.dtype)


class Controlled:
    """In place of the MMDiT in one run of the sampler: the same calls, with what controls add."""

    def __init__(self, mmdit: MMDiT, applied: list[Applied], steps: int):
        self.mmdit, self.applied, self.steps = mmdit, applied, steps
        self.step = 0

    def many(self, calls: list[Call]) -> list[torch.Tensor]:
        """The calls of one step, as `MMDiT.many` takes them; the first has the positive prompt.

        InstantX's networks read that prompt, and what they add serves all calls.
        """
        blocks = len(self.mmdit.transformer_blocks)
        acting = [each for each in self.applied if each.acts(self.step, self.steps)]
        self.step += 1
        if not acting:
            return self.mmdit.many(calls)
        added = [each.added(calls[0], blocks) for each in acting]

        def after_block(i: int, img):
            # careful: all from the same img, then added at once
            return img + sum(add(i, img) for add in added)

        return self.mmdit.many([call._replace(after_block=after_block) for call in calls])
