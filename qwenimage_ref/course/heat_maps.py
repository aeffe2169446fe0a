"""Tables of numbers as heat maps, white for little, one colour of the palette for much."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from .show import PALETTE, Shown, figure


def shade(colour: str) -> LinearSegmentedColormap:
    """From paper over a colour of the palette to ink."""
    steps = (PALETTE["paper"], PALETTE[colour], PALETTE["ink"])
    return LinearSegmentedColormap.from_list(colour, steps)


def heat(panels: list[dict], alt: str, columns: int = 4, side: float = 2.6) -> Shown:
    """Panels in rows of `columns`. Each: "values" (rows, cols) and "title".

    It may have "colour" (of the palette), "low" and "high" (white and black), "x" and "y" (words
    for the axes), "marks" [(row, col), ...] to circle, "cut" (the row and column before which lines
    are drawn), "names" (of the first rows and columns), "rows" and "columns" (names of all), "bar"
    (what the colours stand for, beside a scale of them), "extent" and "aspect" as imshow has them.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(side * columns, (side + 0.35) * rows), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, panel in zip(axes.flat, panels):
        values = np.asarray(panel["values"], dtype=float)
        image = ax.imshow(
            values, cmap=shade(panel.get("colour", "image")), aspect=panel.get("aspect", "equal"),
            vmin=panel.get("low", 0), vmax=panel.get("high", values.max()),
            extent=panel.get("extent"), interpolation="nearest",
        )  # fmt: skip
        for row, col in panel.get("marks", ()):
            ax.plot(col, row, "o", ms=11, mfc="none", mec=PALETTE["text"], mew=2)
        if "cut" in panel:
            ax.axhline(panel["cut"] - 0.5, color=PALETTE["accent"], lw=1.5)
            ax.axvline(panel["cut"] - 0.5, color=PALETTE["accent"], lw=1.5)
        ax.set_title(panel["title"], fontsize=10)
        ax.set(xlabel=panel.get("x", ""), ylabel=panel.get("y", ""))
        ax.tick_params(labelsize=8)
        _ticks(ax, panel)
        if "bar" in panel:
            fig.colorbar(image, ax=ax, label=panel["bar"], shrink=0.8).ax.tick_params(labelsize=8)
    return figure(fig, alt)


def _ticks(ax, panel: dict) -> None:
    """Names where the panel has them, else numbers of rows and columns, or none without "x"."""
    if "x" not in panel:
        ax.set(xticks=[], yticks=[])
    elif "extent" not in panel:
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))  # no column 0.5
    if "names" in panel:
        places = range(len(panel["names"]))
        ax.set_yticks(places, panel["names"], fontsize=5.5)
        ax.set_xticks(places, panel["names"], fontsize=5.5, rotation=90)
    for key, put in (("rows", ax.set_yticks), ("columns", ax.set_xticks)):
        if key in panel:
            put(range(len(panel[key])), [*panel[key]])
