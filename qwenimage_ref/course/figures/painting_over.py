"""A mask on a poster: drawn over it, in latents, and as a rectangle that sliders move."""

import ipywidgets
from PIL import Image, ImageDraw

from ...pictures import sheet
from ...posters.read import read
from ...tasks.inpaint import blurred, latent_mask
from ..heat_maps import heat
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Shown, describe, png

SIDE = 128  # pixels of a poster
EDGES = tuple(range(0, SIDE + 1, 16))  # pixels: whole tokens, so that no latent is half inside
STRENGTHS = (0.4, 0.6, 0.8, 0.9, 1.0)


def rectangle(left: int, top: int, right: int, bottom: int) -> Image.Image:
    """A mask, white from `left` and `top` up to `right` and `bottom`, in pixels."""
    mask = Image.new("L", (SIDE, SIDE))
    if right > left and bottom > top:
        ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return mask


def tinted(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture, and under the mask's white a veil of colour."""
    veil = Image.new("RGB", picture.size, PALETTE["accent"])
    return Image.composite(Image.blend(picture, veil, 0.45), picture, mask)


def masks(mask: Image.Image, size: int, sigma: float, alt: str) -> Shown:
    """A mask in pixels, the latents that it covers, and the same blurred"""
    hard = latent_mask(mask, 8).unsqueeze(0)
    soft = blurred(hard, size, sigma)
    panels = [
        {"values": mask, "title": "pixels, 128 × 128", "high": 255, "colour": "accent"},
        {"values": hard[0, 0], "title": "latents, 16 × 16", "high": 1, "colour": "accent"},
        {"values": soft[0, 0], "title": f"blurred, sigma {sigma:g}", "high": 1, "colour": "accent"},
    ]
    return heat(panels, alt, columns=3)


class MaskPanel(Panel):
    """Four sliders for a rectangle, one for the strength; below, the mask and what is painted.

    `picture.value` is a PNG of both.
    """

    summary = "sliders for a rectangular mask and the strength; run the notebook to move them"

    def __init__(self, pipe, poster: Image.Image, prompt: str, box=(0, 96, 128, 128), strength=1.0):
        """box: left, top, right, bottom of the white at first, in pixels."""
        self.pipe, self.poster, self.prompt = pipe, poster, prompt
        names = ("left", "top", "right", "bottom")
        self.edges = [slider(name, EDGES, edge) for name, edge in zip(names, box)]
        self.strength = slider("strength", STRENGTHS, strength)
        self.picture, self.words = picture_box(520, 256), ipywidgets.Label()
        super().__init__([*self.edges, self.strength], [self.picture, self.words])

    def state(self, left: int, top: int, right: int, bottom: int, strength: float):
        mask = rectangle(left, top, right, bottom)
        veiled = tinted(self.poster, mask)
        if mask.getbbox() is None:
            pair = sheet([veiled, self.poster], 2, gap=4)
            return png(pair), "the rectangle is empty: right after left, bottom below top"
        painted = self.pipe(
            self.prompt, " ", image=self.poster, mask_image=mask, strength=strength,
            num_inference_steps=20, seed=0,
        )[0]  # fmt: skip
        return png(sheet([veiled, painted], 2, gap=4)), describe(read(painted))
