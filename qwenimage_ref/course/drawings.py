"""Drawings of how data flows, in the course's palette."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from IPython.display import Image as Shown
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .show import PALETTE, figure

WIDTH, HEIGHT = 1.5, 0.86  # of a box, in inches, as everything here


@dataclass(frozen=True)
class Box:
    """A station of the data: what it is called, what it holds, and where it stands."""

    name: str
    holds: str
    column: int
    row: int = 0
    role: str = "joint"  # a key of PALETTE

    @property
    def middle(self) -> tuple[float, float]:
        return self.column * (WIDTH + 0.42), -self.row * (HEIGHT + 0.5)


def flow(boxes: list[Box], arrows: list[tuple[str, str]], loop: tuple[str, str], alt: str) -> Shown:
    """Boxes, arrows from name to name, and one arrow from a box (`loop[0]`) back to itself."""
    by_name = {box.name: box for box in boxes}
    columns, rows = max(box.column for box in boxes) + 1, max(box.row for box in boxes) + 1
    fig, ax = plt.subplots(figsize=(columns * (WIDTH + 0.42), rows * (HEIGHT + 0.5) + 0.5))
    for box in boxes:
        _draw_box(ax, box)
    for start, end in arrows:
        _draw_arrow(ax, by_name[start], by_name[end])
    _draw_loop(ax, by_name[loop[0]], loop[1])
    ax.set_aspect("equal")
    ax.autoscale_view()
    ax.axis("off")
    return figure(fig, alt)


def _draw_box(ax, box: Box) -> None:
    x, y = box.middle
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    colour = PALETTE[box.role]
    style = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, style, fc=colour + "33", ec=colour, lw=1.8))
    ax.text(x, y + 0.17, box.name, ha="center", va="center", weight="bold", color=PALETTE["ink"])
    ax.text(x, y - 0.17, box.holds, ha="center", va="center", fontsize=8, color=PALETTE["ink"])


def _draw_arrow(ax, start: Box, end: Box) -> None:
    (x0, y0), (x1, y1) = start.middle, end.middle
    if start.column == end.column:
        step = HEIGHT / 2 if y1 > y0 else -HEIGHT / 2
        y0, y1 = y0 + step, y1 - step
    else:
        x0, x1 = x0 + WIDTH / 2, x1 - WIDTH / 2
    arrow = FancyArrowPatch(
        (x0, y0), (x1, y1), arrowstyle="-|>", mutation_scale=13, color=PALETTE["ink"], shrinkA=2
    )
    ax.add_patch(arrow)


def _draw_loop(ax, box: Box, label: str) -> None:
    x, y = box.middle
    top = y + HEIGHT / 2
    arrow = FancyArrowPatch(
        (x + 0.45, top), (x - 0.45, top), connectionstyle="arc3,rad=0.7",
        arrowstyle="-|>", mutation_scale=13, color=PALETTE["ink"],
    )  # fmt: skip
    ax.add_patch(arrow)
    ax.text(x, top + 0.46, label, ha="center", va="bottom", fontsize=9, color=PALETTE["ink"])
