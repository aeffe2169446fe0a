"""Where tokens sit, drawn: the position map, its sliders, and hands that turn."""

import io

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle, Wedge
from PIL import Image

from ...rope import positions
from ..panel import Panel, picture_box, slider
from ..show import DPI, PALETTE, Shown, figure, shown

SIDES = tuple(range(1, 10))  # rows or columns that the sliders offer
PLACES = (0, 20)  # positions of a query and of a key that the sliders offer
REACH = (-6, 11)  # places that the map shows, on both axes


def say(rows: int, cols: int) -> str:
    """What the map shows, in words."""
    _, txt = positions([(1, rows, cols)], 1)
    return f"grid {rows} x {cols}, text starts at {txt[0, 1].item()}"


def position_map(rows: int, cols: int, reach=REACH, words=("t0", "t1", "t2", "t3", "t4")) -> Shown:
    """A grid of image tokens around the origin, and the text's tokens on the diagonal.

    Columns run to the right, rows down. What an odd side has too much is marked.
    """
    img, txt = positions([(1, rows, cols)], len(words))
    low, high = reach
    fig = plt.figure(figsize=(4.6, 4.6))
    ax = fig.add_axes((0.12, 0.02, 0.86, 0.86), xlim=(low - 0.5, high + 0.5), aspect="equal")
    ax.set_ylim(high + 0.5, low - 0.5)
    for _, row, col in img.tolist():
        odd = (rows % 2 and row == -(rows // 2) - 1) or (cols % 2 and col == -(cols // 2) - 1)
        _cell(ax, row, col, "accent" if odd else "image")
    for word, (_, row, col) in zip(words, txt.tolist()):
        _cell(ax, row, col, "text")
        ax.text(col, row, word, ha="center", va="center", fontsize=8, color=PALETTE["ink"])
    ax.axhline(0, color=PALETTE["ink"], lw=0.8, ls=":", zorder=0)
    ax.axvline(0, color=PALETTE["ink"], lw=0.8, ls=":", zorder=0)
    ticks = range(low + low % 2, high + 1, 2)
    ax.set(xticks=ticks, yticks=ticks, xlabel="column", ylabel="row")
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, labelsize=8)
    ax.xaxis.set_label_position("top")
    ax.spines[["bottom", "right"]].set_visible(False)
    return _whole(fig, f"Position map of a {say(rows, cols)} and runs down the diagonal")


def position_picture(rows: int, cols: int) -> Image.Image:
    """The same as a picture, to stand in a grid of pictures."""
    return Image.open(io.BytesIO(position_map(rows, cols).data)).convert("RGB")


def clocks(angles, pairs: list[str], alt: str) -> Shown:
    """angles (S, P): a row of hands for each pair of numbers, a column for each position."""
    angles = np.asarray(angles)
    size = (0.85 * len(angles), 0.95 * len(pairs))
    fig, axes = plt.subplots(*angles.T.shape, figsize=size, squeeze=False)
    for place, row in enumerate(axes.T):
        for pair, ax in enumerate(row):
            turn = angles[place, pair]
            ax.add_patch(plt.Circle((0, 0), 1, fc=PALETTE["paper"], ec=PALETTE["noise"]))
            ax.plot([0, 1], [0, 0], color=PALETTE["noise"], lw=1, ls=":")
            ax.plot([0, np.cos(turn)], [0, np.sin(turn)], color=PALETTE["image"], lw=2.5)
            ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if pair == 0:
                ax.set_title(place, fontsize=9)
            if place == 0:
                ax.set_ylabel(pairs[pair], rotation=0, ha="right", va="center", fontsize=9)
    return figure(fig, alt)


def two_hands(query: int, key: int, speeds) -> Shown:
    """A clock for each pair of numbers: hands of a query and a key, and the angle between them."""
    fig, axes = plt.subplots(1, len(speeds), figsize=(1.7 * len(speeds), 2.2), squeeze=False)
    for ax, speed in zip(axes[0], map(float, speeds)):
        ax.add_patch(plt.Circle((0, 0), 1, fc=PALETTE["paper"], ec=PALETTE["noise"]))
        start, end = (float(np.degrees(place * speed)) for place in sorted((query, key)))
        ax.add_patch(Wedge((0, 0), 0.5, start, end, fc=PALETTE["joint"] + "55"))
        for place, role in ((key, "text"), (query, "image")):
            turn = place * speed
            ax.plot([0, np.cos(turn)], [0, np.sin(turn)], color=PALETTE[role], lw=2.5)
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"speed {speed:.3g}", fontsize=9)
        ax.set_xlabel(f"{(key - query) * speed:+.3g} between", fontsize=9)
        ax.spines[:].set_visible(False)
    return _whole(fig, f"Hands of a query at {query} and a key at {key}, and the angles between")


def hands_picture(query: int, key: int, speeds) -> Image.Image:
    """The same as a picture, to stand in a grid of pictures."""
    return Image.open(io.BytesIO(two_hands(query, key, speeds).data)).convert("RGB")


class HandSliders(Panel):
    """Positions of a query and a key, to be dragged, over their hands in each pair of numbers."""

    summary = (
        "sliders for the positions of a query and a key over their hands; run the notebook to drag"
    )

    def __init__(self, query: int, key: int, speeds):
        self._speeds = speeds
        self.query = ipywidgets.IntSlider(query, *PLACES, description="query at")
        self.key = ipywidgets.IntSlider(key, *PLACES, description="key at")
        self.picture, self.words = picture_box(None, None), ipywidgets.Label()
        super().__init__([self.query, self.key], [self.picture, self.words])

    def between(self, query: int, key: int) -> list[float]:
        """The angle from the query's hand to the key's in each pair, in radians"""
        return [(key - query) * float(speed) for speed in self._speeds]

    def state(self, query: int, key: int) -> tuple[bytes, str]:
        angles = ", ".join(f"{angle:+.3g}" for angle in self.between(query, key))
        words = f"key minus query: {key - query:+d}; angles between the hands: {angles}"
        return two_hands(query, key, self._speeds).data, words


class GridSliders(Panel):
    """Sliders for rows and columns over the position map. `picture.value` holds its PNG."""

    summary = "sliders for rows and columns over the position map; run the notebook to move them"

    def __init__(self, rows: int, cols: int):
        self.rows, self.cols = slider("rows", SIDES, rows), slider("columns", SIDES, cols)
        self.picture, self.words = picture_box(460, 460), ipywidgets.Label()
        super().__init__([self.rows, self.cols], [self.picture, self.words])

    def state(self, rows: int, cols: int) -> tuple[bytes, str]:
        return position_map(rows, cols).data, say(rows, cols)


def _cell(ax, row: int, col: int, colour: str) -> None:
    fill = PALETTE[colour] + "66"
    ax.add_patch(Rectangle((col - 0.45, row - 0.45), 0.9, 0.9, fc=fill, ec=PALETTE[colour], lw=1))


def _whole(fig, alt: str) -> Shown:
    """The figure in its full size, so that maps of different grids lie over each other."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor=PALETTE["paper"])
    plt.close(fig)
    return shown(Image.open(buffer), alt)
