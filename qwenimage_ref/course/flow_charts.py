"""Drawings of how data flows, in the course's palette."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .show import PALETTE, Shown, figure

WIDTH, HEIGHT = 1.5, 0.9  # sides of a box, in inches, as everything here
ACROSS, DOWN = 1.85, 1.35  # distance from the middle of a box to the next


@dataclass(frozen=True)
class Box:
    """A station of the data: its name, its output in words, and its place in the drawing."""

    name: str
    holds: str
    column: int
    row: int = 0
    role: str = "joint"  # a key of PALETTE

    @property
    def middle(self) -> tuple[float, float]:
        return self.column * ACROSS, -self.row * DOWN


STATIONS = (  # text to image: name, column, row, role
    ("prompt", 0, 0, "text"),
    ("tokenizer", 1, 0, "text"),
    ("text_encoder", 2, 0, "text"),
    ("noise", 2, 1, "noise"),
    ("transformer", 3, 1, "joint"),
    ("vae", 4, 1, "image"),
    ("picture", 5, 1, "image"),
)
ARROWS = (
    ("prompt", "tokenizer"),
    ("tokenizer", "text_encoder"),
    ("text_encoder", "transformer"),
    ("noise", "transformer"),
    ("transformer", "vae"),
    ("vae", "picture"),
)


def text_to_image(holds: dict[str, str], loop: str, alt: str) -> Shown:
    """The path from prompt to picture. holds: {station: its output, in words}"""
    boxes = [Box(name, holds[name], *where) for name, *where in STATIONS]
    return flow(boxes, ARROWS, ("transformer", loop), alt)


def flow(boxes: list[Box], arrows, loop: tuple[str, str], alt: str) -> Shown:
    """Boxes, arrows from name to name, and an arrow from box loop[0] to itself, named loop[1]."""
    by_name = {box.name: box for box in boxes}
    xs, ys = zip(*(box.middle for box in boxes))
    roof = 0.7 if by_name[loop[0]].row == 0 else 0.1  # a loop in the top row needs room above it
    left, right = min(xs) - WIDTH / 2 - 0.1, max(xs) + WIDTH / 2 + 0.1
    low, top = min(ys) - HEIGHT / 2 - 0.1, max(ys) + HEIGHT / 2 + roof
    # careful: one unit of the axes is one inch, so that letters and boxes keep their proportion
    fig = plt.figure(figsize=(right - left, top - low))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, top))
    ax.axis("off")
    for box in boxes:
        _draw_box(ax, box)
    for start, end in arrows:
        _draw_arrow(ax, by_name[start], by_name[end])
    _draw_loop(ax, by_name[loop[0]], loop[1])
    return figure(fig, alt)


def _draw_box(ax, box: Box) -> None:
    x, y = box.middle
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    colour = PALETTE[box.role]
    style = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, style, fc=colour + "33", ec=colour, lw=1.8))
    ax.text(x, y + 0.24, box.name, ha="center", va="center", weight="bold", color=PALETTE["ink"])
    ax.text(x, y - 0.14, box.holds, ha="center", va="center", fontsize=8, color=PALETTE["ink"])


def _draw_arrow(ax, start: Box, end: Box) -> None:
    (x0, y0), (x1, y1) = start.middle, end.middle
    if start.row == end.row:
        x0, x1 = x0 + WIDTH / 2, x1 - WIDTH / 2
    elif start.column == end.column:
        y0, y1 = y0 - HEIGHT / 2, y1 + HEIGHT / 2
    else:  # a way from the side into the roof, left of the loop's
        x0, x1, y1 = x0 + WIDTH / 2, x1 - 0.45 * WIDTH, y1 + HEIGHT / 2
    arrow = FancyArrowPatch(
        (x0, y0), (x1, y1), arrowstyle="-|>", mutation_scale=13, color=PALETTE["ink"], shrinkA=2
    )
    ax.add_patch(arrow)


def _draw_loop(ax, box: Box, label: str) -> None:
    x, y = box.middle
    top = y + HEIGHT / 2
    arrow = FancyArrowPatch(
        (x + 0.4, top), (x - 0.2, top), connectionstyle="arc3,rad=0.8",
        arrowstyle="-|>", mutation_scale=13, color=PALETTE["ink"],
    )  # fmt: skip
    ax.add_patch(arrow)
    ax.text(x + 0.1, top + 0.27, label, ha="center", va="bottom", fontsize=9, color=PALETTE["ink"])
