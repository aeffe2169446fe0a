"""A picture, a mask and a wish for tests of image to image, and the pipelines of diffusers."""

from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageInpaintPipeline
from PIL import Image, ImageDraw

from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.posters.draw import Scene, Shape, draw

POCKET = Path(__file__).parents[2] / "data" / "pocket"
SCENE = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
POSTER = Image.fromarray(draw(SCENE))
WIDE = POSTER.resize((200, 150))
WISH = "a red circle left of a green diamond on a white background"


def mask_of(box, size=(128, 128)) -> Image.Image:
    """White in an ellipse, black elsewhere."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


WIDE_MASK = mask_of((110, 30, 170, 100), WIDE.size)


def reference(folder, kind=QwenImageInpaintPipeline):
    loaded = kind.from_pretrained(folder, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def generators(seed):
    if isinstance(seed, list):
        return [generators(one) for one in seed]
    return torch.Generator().manual_seed(seed)


def assert_the_same_pictures(ours, theirs):
    """As many, of the same sizes, alike in the mean and in each pixel."""
    assert [one.size for one in ours] == [one.size for one in theirs]
    off = [np.abs(np.asarray(a, int) - np.asarray(b, int)) / 255 for a, b in zip(ours, theirs)]
    assert max(one.max().item() for one in off) <= within("pixels over a picture")
    assert max(one.mean().item() for one in off) <= within("picture")
