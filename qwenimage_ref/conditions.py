"""What conditions a picture, in the one form in which the pipeline takes it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .mmdit import Call


@dataclass(frozen=True)
class Branch:
    """One branch of guidance, as the transformer is called with it."""

    txt: Tensor  # (B, T, Dt) text states
    txt_mask: Tensor | None = None  # (B, T), true where a token is real; None: all are
    img: Tensor | None = None  # (B, I_cond, 64) clean condition pictures, behind the target
    grids: tuple = ()  # theirs, (frames, rows, cols) in tokens
    mask: Tensor | None = None  # (B, 1, S, S), true where a token may see another: regions
    txt_positions: Tensor | None = None  # (T, 3): regions restart their text
    after_block: Callable | None = None  # control branches: (i, img_target) -> img_target

    def call(self, x: Tensor, time: Tensor, grid: tuple) -> Call:
        """The target's tokens (B, I, 64), their time (B,) and grid -> a call of the transformer"""
        img = x if self.img is None else torch.cat([x, self.img.to(x.dtype)], dim=1)
        return Call(
            img, self.txt, time, [grid, *self.grids],
            self.txt_mask, self.after_block, self.mask, self.txt_positions,
        )  # fmt: skip
