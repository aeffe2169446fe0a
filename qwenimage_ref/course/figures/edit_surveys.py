"""What surveys of editors recorded: five edits in a row, pictures of half the size, time zero."""

import matplotlib.pyplot as plt
import numpy as np

from ..charts import curves
from ..show import PALETTE, Shown, figure

BIN = 4  # pixels of displacement
REACH = 34  # pixels on either side that are drawn
SHOWN = ("form", "place", "background", "word")  # traits; colours are nearly always right
GIVEN = {"own result": "last result", "wanted poster": "intended poster"}


def chained(after: dict[str, list[dict]]) -> Shown:
    """Shares by the number of edits, a panel for each start; `after` of evaluate.edit_chains"""
    panels = [
        {
            "x": f"number of edits, each of the {GIVEN[start]}",
            "y": "per cent right",
            "top": 104,  # marks at 100 are whole
            "series": {
                name: [(i, 100 * line[name]["share"]) for i, line in enumerate(lines, 1)]
                for name in SHOWN
            },
        }
        for start, lines in after.items()
    ]
    alt = "Two panels with a curve for form, place, background and word over five edits: "
    return curves(panels, alt + "on the left every edit starts from the result of the last one")


def displaced(inward: dict[str, list], if_centred: list[float]) -> Shown:
    """A histogram for each way of placing a picture; the arguments are those of a record of
    evaluate.edit_displaced. Shapes that were not found are counted in the title.
    """
    fig, axes = plt.subplots(
        1,
        len(inward),
        figsize=(min(3.6 * len(inward), 11.6), 2.7),
        layout="constrained",
        sharey=True,
    )
    edges = np.arange(-REACH, REACH + BIN, BIN) - BIN / 2
    for ax, (way, moved) in zip(axes, inward.items()):
        seen = [float(np.clip(each, -REACH, REACH)) for each in moved if each is not None]
        ax.hist(seen, edges, color=PALETTE["image"])
        ax.axvline(0, color=PALETTE["ink"], lw=1, label="scaled with the target")
        middle = float(np.mean(if_centred))
        ax.axvline(
            middle, color=PALETTE["ink"], lw=1, ls="--", label="in the middle of it, on average"
        )
        ax.set(title=f"{way}:\n{len(seen)} of {len(moved)} found", xlabel="pixels to the middle")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("posters")
    fig.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center",
               ncols=2)  # fmt: skip
    alt = f"{len(inward)} histograms of displacements: {', '.join(inward)}; lines show where a "
    return figure(fig, alt + "scaled picture, and one in the middle, would have its shape")


PIXELS = {"stays": "where the poster stays as it is", "changes": "where it changes"}


def time_zero(levels: list[float], rows: dict[str, dict]) -> Shown:
    """Colour errors over the level of noise, a panel for pixels that stay and one for those that
    change; the arguments are those of a record of evaluate.edit_time_zero.
    """
    panels = [
        {
            "x": f"level of noise; {words}",
            "y": "mean error of the colours, of 255",
            "series": {
                arm: [
                    (level, error["mean"], error["low"], error["high"])
                    for level, error in zip(levels, row["colour error"][pixels])
                ]
                for arm, row in rows.items()
            },
        }
        for pixels, words in PIXELS.items()
    ]
    alt = "Two panels with a curve for each editor and way of running it: errors of colours over "
    return curves(panels, alt + "the level of noise, where posters stay as they are and elsewhere")
