"""`qwenimage validate`: every stage of a checkpoint, ours beside diffusers and transformers.

Ours and the reference are built from the files a layer at a time, so 6 GB of memory are enough for
the official model. Each stage is fed the reference's own numbers.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from ..posters.draw import Scene, Shape, caption, draw
from .report import Row
from .sides import Sides
from .stages import (
    schedule_stage,
    stack_stage,
    step_stage,
    text_stage,
    tokenizer_stage,
    vae_stage,
)

POSTER = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
NEGATIVE = " "


@torch.no_grad()
def validate(sides: Sides, picture: Image.Image, prompt: str) -> Iterator[Row]:
    """Yields a row for each comparison, in the order of the model's own data flow."""
    ids = yield from tokenizer_stage(sides, [prompt, NEGATIVE])
    states = yield from text_stage(sides, ids)
    vae, latents = yield from vae_stage(sides, to_tensor(picture))
    step = yield from schedule_stage(sides, latents)
    velocities = yield from stack_stage(sides, step, states)
    yield from step_stage(sides, step, velocities)


def to_tensor(picture: Image.Image) -> torch.Tensor:
    """-> (1, 3, height, width) in [-1, 1]"""
    pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)
    return (pixels / 127.5 - 1).unsqueeze(0)


def poster(side: int) -> tuple[Image.Image, str]:
    """A picture that needs no file, and its caption."""
    return Image.fromarray(draw(POSTER)).resize((side, side)), caption(POSTER)
