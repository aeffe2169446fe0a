"""What conditions a picture, in the one form in which the pipeline takes it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


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
