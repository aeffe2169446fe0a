"""Charts of shares and distances: what was counted is drawn with its interval."""

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from .show import PALETTE, Shown, figure

COLOURS = ("text", "image", "joint", "accent")  # colours of the series, in order


def bars(rows: dict[str, dict], alt: str, top: float = 100) -> Shown:
    """Shares by name, top to bottom, each with a whisker over its 95 % interval, in per cent

    rows: a name that begins with spaces is a part of the row above it, and indented.
    top: per cent at the right edge.
    """
    fig, ax = plt.subplots(figsize=(8, 0.3 * len(rows) + 0.8))
    for place, row in enumerate(rows.values()):
        low, share, high = (100 * row[key] for key in ("low", "share", "high"))
        ax.barh(place, share, color=PALETTE["light"], height=0.7)
        ax.plot([low, high], [place, place], color=PALETTE["ink"], marker="|", linewidth=1.5)
        ax.text(1.01 * top, place, f"{row['right']} of {row['of']}", va="center", fontsize=8)
    ax.set_yticks(range(len(rows)), [])
    _name_rows(ax, list(rows))
    ax.set(xlim=(0, top), xlabel="right, in per cent, with 95 % interval")
    _open_frame(ax)
    return figure(fig, alt)


def differences(
    rows: dict[str, dict], alt: str, scale: float = 100, words: str = "points"
) -> Shown:
    """Differences to a baseline by name, each with its 95 % interval.

    rows: {name: {"difference", "low", "high"}}. They are drawn `scale` times as large, in `words`:
    shares as points, unless something else is given.
    """
    fig, ax = plt.subplots(figsize=(8, 0.3 * len(rows) + 0.8))
    ax.axvline(0, color=PALETTE["ink"], linewidth=0.8)
    for place, row in enumerate(rows.values()):
        low, middle, high = (scale * row[key] for key in ("low", "difference", "high"))
        ax.plot([low, high], [place, place], color=PALETTE["image"], marker="|", linewidth=2)
        ax.plot(middle, place, color=PALETTE["ink"], marker="o")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set(xlabel=f"{words} more or less than the baseline, with 95 % interval")
    _open_frame(ax)
    return figure(fig, alt)


def curves(panels: list[dict], alt: str) -> Shown:
    """Panels side by side. Each: "series" {name: [(x, y) or (x, y, low, high), ...]}, and "x", "y"
    as words for the axes; "log": True for a logarithmic x; "top": panels with it begin at 0 and end
    there, so that they can be compared.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.1), layout="constrained", squeeze=False
    )
    for ax, panel in zip(axes[0], panels):
        for colour, (name, points) in zip(COLOURS, panel["series"].items()):
            x, y, *bounds = zip(*points)
            ax.plot(x, y, color=PALETTE[colour], label=name, marker="o" if len(x) < 20 else None)
            if bounds:
                ax.fill_between(x, *bounds, color=PALETTE[colour], alpha=0.15, linewidth=0)
        if panel.get("log"):
            ax.set_xscale("log")
            places = sorted({point[0] for row in panel["series"].values() for point in row})
            ax.set_xticks(places, [f"{at:g}" for at in places])  # the default: few powers of ten
            ax.minorticks_off()
        else:
            places = [float(point[0]) for row in panel["series"].values() for point in row]
            whole = all(map(float.is_integer, places))  # no step 2.5
            ax.xaxis.set_major_locator(MaxNLocator(9 if whole else 5, integer=whole))
        ax.set(xlabel=panel["x"], ylabel=panel["y"])
        if "top" in panel:
            ax.set_ylim(0, panel["top"])
        # names of many series find no free corner, so that they stand above the axes
        many = {"loc": "lower left", "bbox_to_anchor": (0, 1)} if len(panel["series"]) > 2 else {}
        ax.legend(frameon=False, fontsize=8, **many)
        _open_frame(ax)
    return figure(fig, alt)


def _name_rows(ax, names: list[str]) -> None:
    """Names left of the axis, one under the other, those that begin with spaces indented."""
    inset = {name: 5 * (len(name) - len(name.lstrip())) for name in names}  # points

    def label(place: int, left: float):
        text = names[place].strip()
        at = (0, place), (inset[names[place]] - left, 0)
        return ax.annotate(
            text, *at, xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center"
        )

    ax.set_ylim(len(names) - 0.4, -0.6)
    drawn = [label(place, 0) for place in range(len(names))]
    points = 72 / ax.figure.dpi
    widths = [points * text.get_window_extent().width + inset[n] for text, n in zip(drawn, names)]
    for place, text in enumerate(drawn):
        text.remove()
        label(place, max(widths) + 8)


def _open_frame(ax) -> None:
    ax.spines[["top", "right"]].set_visible(False)
