"""Regions of a poster: which tokens attend to which under their mask, and boxes on sliders."""

from itertools import pairwise

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw

from ...adapt.regions import attention_mask
from ...pictures import sheet
from ...posters.read import read
from ..panel import Panel, picture_box
from ..show import PALETTE, Shown, describe, figure, png

SIDE, TOKEN = 128, 16  # pixels of a poster, of a token
COLOURS = ("image", "joint", "accent", "light")  # names in the palette, one a region
WHOLE, PICTURE = "text", "noise"  # the whole prompt's, and image tokens' among themselves
PALE = 0.45  # strength of a colour where an image token looks at another
EDGES = tuple(range(0, SIDE + 1, TOKEN))  # pixels: boxes of whole tokens


def coloured(lengths: list[int], seen: torch.Tensor) -> np.ndarray:
    """Lengths of the texts, the prompt's last, (R, I) -> (S, S, 3) from 0 to 1, white: not seen"""
    everywhere = torch.ones_like(seen[:1])
    mask = attention_mask(lengths, torch.cat([seen, everywhere]))[0, 0].numpy()
    paper, grey = (np.array(to_rgb(PALETTE[name])) for name in ("paper", PICTURE))
    T, (regions, _) = sum(lengths), seen.shape
    names = [*COLOURS[:regions], WHOLE]
    text = np.concatenate([[to_rgb(PALETTE[n])] * k for n, k in zip(names, lengths)])
    result = np.empty((*mask.shape, 3))
    result[T:, T:] = paper + PALE * (grey - paper)
    result[:T] = text[:, None]  # rows and columns of a text have its colour
    result[T:, :T] = text
    return np.where(mask[..., None], result, paper)


def mask_figure(poster, lengths: list[int], seen: torch.Tensor, alt: str) -> Shown:
    """A poster with its boxes beside the mask, in which each region has its colour

    poster: posters.crowded.Crowded. lengths: of the texts, the prompt's last. seen: (R, I).
    """
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(10.6, 6.2), width_ratios=(1, 2.1), layout="constrained"
    )
    texts = [text for text, _ in poster.regions]
    _draw_boxes(left, poster.boxes, texts, seen)
    right.imshow(coloured(lengths, seen), interpolation="nearest")
    ends = np.cumsum([0, *lengths, seen.shape[1]])
    for end in ends[1:-1]:
        right.axhline(end - 0.5, color=PALETTE["ink"], linewidth=0.7)
        right.axvline(end - 0.5, color=PALETTE["ink"], linewidth=0.7)
    names = [*texts, "whole prompt", "image, row by row"]
    middles = [(a + b - 1) / 2 for a, b in pairwise(ends)]
    right.set_yticks(middles, names, fontsize=8)
    right.set_xticks(middles, names, fontsize=8, rotation=40, ha="right")
    right.set(xlabel="is attended to", ylabel="attends")
    right.tick_params(length=0)
    return figure(fig, alt)


def _draw_boxes(ax, boxes, texts: list[str], seen: torch.Tensor) -> None:
    """The boxes with their prompts, and behind them the tokens inside each"""
    ax.imshow(boxed(boxes))
    ax.set_xticks(EDGES, [])
    ax.set_yticks(EDGES, [])
    ax.grid(color=PALETTE["noise"], linewidth=0.4)
    for (x, y, *_), text, name, own in zip(boxes, texts, COLOURS, seen):
        for token in own.nonzero().flatten().tolist():
            row, col = divmod(token, SIDE // TOKEN)
            square = (col * TOKEN - 0.5, row * TOKEN - 0.5), TOKEN, TOKEN
            ax.add_patch(Rectangle(*square, color=PALETTE[name], alpha=0.25, linewidth=0))
        ax.text(x, y - 3, text, fontsize=8, color=PALETTE["ink"])
    ax.set_title("boxes, and the tokens inside", fontsize=10)


def boxed(boxes, background: Image.Image | None = None) -> Image.Image:
    """Boxes (left, top, right, bottom) in the colours of their regions, over white or a picture"""
    picture = (background or Image.new("RGB", (SIDE, SIDE), PALETTE["paper"])).copy()
    for box, name in zip(boxes, COLOURS):
        left, top, right, bottom = box
        if right > left and bottom > top:
            ImageDraw.Draw(picture).rectangle(
                (left, top, right - 1, bottom - 1), outline=PALETTE[name], width=2
            )
    return picture


def box_mask(box) -> Image.Image:
    """(left, top, right, bottom) in pixels -> a mask, white inside"""
    left, top, right, bottom = box
    mask = Image.new("L", (SIDE, SIDE))
    if right > left and bottom > top:
        ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return mask


class BoxPanel(Panel):
    """Two sliders with two handles for each region; below, its boxes and what is painted in them.

    `picture.value` is a PNG of both.
    """

    summary = "sliders that draw a box for each region; run the notebook to move them"

    def __init__(self, pipe, prompt: str, texts: list[str], boxes: list[tuple]):
        """texts: of the regions. boxes: their first (left, top, right, bottom), in whole tokens."""
        self.pipe, self.prompt, self.texts = pipe, prompt, texts
        self.sides = []
        for text, (left, top, right, bottom) in zip(texts, boxes):
            for axis, ends in (("across", (left, right)), ("down", (top, bottom))):
                self.sides.append(_range(f"{text}: {axis}", ends))
        self.picture, self.words = picture_box(520, 256), ipywidgets.Label()
        super().__init__(self.sides, [self.picture, self.words])

    def state(self, *ends: tuple[int, int]):
        boxes = [
            (left, top, right, bottom)
            for (left, right), (top, bottom) in zip(ends[0::2], ends[1::2])
        ]
        masks = [box_mask(box) for box in boxes]
        drawn = boxed(boxes)
        if not all(mask.getbbox() for mask in masks):
            return png(sheet([drawn, drawn], 2, gap=4)), "a box is empty: pull its handles apart"
        painted = self.pipe(
            self.prompt, " ", regions=list(zip(self.texts, masks)), num_inference_steps=20, seed=0
        )[0]
        sizes = ", ".join(f"{right - left} × {bottom - top}" for left, top, right, bottom in boxes)
        words = f"boxes of {sizes} pixels: {describe(read(painted))}"
        return png(sheet([drawn, boxed(boxes, painted)], 2, gap=4)), words


def _range(name: str, ends: tuple[int, int]) -> ipywidgets.SelectionRangeSlider:
    """A slider with two handles over the edges of tokens"""
    # careful: not while dragging; every value passed on the way would be computed
    return ipywidgets.SelectionRangeSlider(
        options=EDGES, index=tuple(map(EDGES.index, ends)), description=name,
        continuous_update=False, style={"description_width": "12em"},
        layout=ipywidgets.Layout(width="36em"),
    )  # fmt: skip
