"""The figures of chapter 35: loss over noise and compute, the floor, and shares over the loss."""

import matplotlib.pyplot as plt
import numpy as np

from ..show import PALETTE, Shown, figure

COLOURS = ("light", "image", "joint", "accent", "wrong")  # series of a figure, in order
MARKS = ("o", "s", "^", "D")  # sizes, in order
LEAST = 1e-3  # lower edge of a logarithmic axis of losses


def over_noise(levels, floor: dict, losses: dict[str, list[float]], alt: str) -> Shown:
    """Losses by name at each noise level, above the band in which the floor lies

    floor: {"low", "high"}, a number for each level; what is below LEAST is drawn at the edge.
    """
    fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    low, high = (np.maximum(floor[key], LEAST) for key in ("low", "high"))
    ax.fill_between(
        levels, low, high, color=PALETTE["noise"], alpha=0.3, label="the floor is in here"
    )
    for (name, values), colour, mark in zip(losses.items(), COLOURS, MARKS):
        ax.plot(levels, values, color=PALETTE[colour], marker=mark, markersize=4, label=name)
    top = 1.5 * max(max(values) for values in losses.values())
    ax.set(xlabel="noise level", ylabel="loss", yscale="log", ylim=(LEAST, top), xlim=(0, 1))
    _finished(ax)
    return figure(fig, alt)


def over_compute(points: dict[str, list], lines: dict[str, tuple], words: str, alt: str) -> Shown:
    """Points (compute, value) of each size, both axes logarithmic, and power laws as lines

    lines: {name: (factor, exponent)}, drawn over the whole axis; words: for the y axis.
    """
    fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for (name, pairs), colour, mark in zip(points.items(), COLOURS, MARKS):
        ax.plot(*zip(*pairs), color=PALETTE[colour], marker=mark, markersize=5, label=name)
    ends = [pair[0] for pairs in points.values() for pair in pairs]
    x = np.geomspace(min(ends), max(ends), 50)
    for (name, (factor, exponent)), dash in zip(lines.items(), ("-", "--", ":")):
        y = factor * x**-exponent
        ax.plot(x, y, color=PALETTE["ink"], linewidth=1, linestyle=dash, label=name)
    ax.set(xlabel="FLOPs of the training run", ylabel=words, xscale="log", yscale="log")
    _finished(ax)
    return figure(fig, alt)


def over_loss(series: dict[str, list], alt: str, middles=None) -> Shown:
    """Shares over the loss, which falls to the right, so that better is right

    series: {name: [(loss, share) or (loss, share, low, high), ...]}, with whiskers in the second
    case. middles: {name: a loss or None}, where a share passes one half, drawn as a line.
    """
    fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for (name, points), colour in zip(series.items(), COLOURS):
        x, y, *bounds = np.array(sorted(points, reverse=True)).T
        whiskers = np.maximum([y - bounds[0], bounds[1] - y], 0) if bounds else None
        style = {"marker": "o", "markersize": 4, "linewidth": 1, "elinewidth": 1, "capsize": 2}
        ax.errorbar(x, y, yerr=whiskers, color=PALETTE[colour], label=name, **style)
        if middles and middles[name] is not None:
            ax.axvline(middles[name], color=PALETTE[colour], linewidth=1, linestyle=":")
    ax.set(xlabel="loss, falling to the right", ylabel="share right", ylim=(-0.03, 1.03))
    ax.set_xscale("log")
    ax.invert_xaxis()
    every = [point[0] for points in series.values() for point in points]
    ticks = np.geomspace(max(every), min(every), 6)
    ax.set_xticks(ticks, [f"{tick:.2f}" for tick in ticks])
    ax.minorticks_off()
    _finished(ax)
    return figure(fig, alt)


def _finished(ax) -> None:
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
