"""What two surveys of an editor recorded: five edits in a row, and pictures of half the size."""

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
        1, len(inward), figsize=(3.6 * len(inward), 2.7), layout="constrained", sharey=True
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
        ax.set(title=f"{way}: {len(seen)} of {len(moved)} found", xlabel="pixels to the middle")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("posters")
    fig.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside lower center",
               ncols=2)  # fmt: skip
    alt = f"{len(inward)} histograms of displacements: {', '.join(inward)}; lines show where a "
    return figure(fig, alt + "scaled picture, and one in the middle, would have its shape")
