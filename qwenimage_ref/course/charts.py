"""Charts of shares and distances: what was counted is drawn with its interval."""

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from .show import PALETTE, Shown, figure

COLOURS = ("text", "image", "joint", "accent")  # colours of the series, in order


def bars(rows: dict[str, dict], alt: str, top: float = 100) -> Shown:
    """Shares by name, top to bottom, each with a whisker over its 95 % interval, in per cent

    top: per cent at the right edge.
    """
    fig, ax = plt.subplots(figsize=(8, 0.3 * len(rows) + 0.8))
    for place, row in enumerate(rows.values()):
        low, share, high = (100 * row[key] for key in ("low", "share", "high"))
        ax.barh(place, share, color=PALETTE["light"], height=0.7)
        ax.plot([low, high], [place, place], color=PALETTE["ink"], marker="|", linewidth=1.5)
        ax.text(1.01 * top, place, f"{row['right']} of {row['of']}", va="center", fontsize=8)
    ax.set_yticks(range(len(rows)), [name.strip() for name in rows])
    ax.invert_yaxis()
    ax.set(xlim=(0, top), xlabel="right, in per cent, with 95 % interval")
    _open_frame(ax)
    return figure(fig, alt)


def differences(rows: dict[str, dict], luck: float, alt: str) -> Shown:
    """Differences of shares by name, each with its 95 % interval, in points; gray: within `luck`.

    rows: {name: {"difference", "low", "high"}} as shares; luck: how far equals were apart, a share.
    """
    fig, ax = plt.subplots(figsize=(8, 0.3 * len(rows) + 0.8))
    ax.axvspan(-100 * luck, 100 * luck, color=PALETTE["noise"], alpha=0.25, linewidth=0)
    ax.axvline(0, color=PALETTE["ink"], linewidth=0.8)
    for place, row in enumerate(rows.values()):
        low, middle, high = (100 * row[key] for key in ("low", "difference", "high"))
        ax.plot([low, high], [place, place], color=PALETTE["image"], marker="|", linewidth=2)
        ax.plot(middle, place, color=PALETTE["ink"], marker="o")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set(xlabel="points more or less than the baseline, with 95 % interval")
    _open_frame(ax)
    return figure(fig, alt)


def curves(panels: list[dict], alt: str) -> Shown:
    """Panels side by side. Each: "series" {name: [(x, y) or (x, y, low, high), ...]}, and "x", "y"
    as words for the axes; "log": True for a logarithmic x.
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
            ax.set_xticks(x, [f"{at:g}" for at in x])  # the default: few powers of ten
            ax.minorticks_off()
        elif all(float(point[0]).is_integer() for row in panel["series"].values() for point in row):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # no step 2.5
        ax.set(xlabel=panel["x"], ylabel=panel["y"])
        ax.legend(frameon=False, fontsize=8)
        _open_frame(ax)
    return figure(fig, alt)


def _open_frame(ax) -> None:
    ax.spines[["top", "right"]].set_visible(False)
