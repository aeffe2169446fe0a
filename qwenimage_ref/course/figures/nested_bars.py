"""Bars under bars: each shows one part of the bar above it, spread over the whole width."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon, Rectangle

from ..show import PALETTE, Shown, figure

HIGH, STEP = 0.5, 1.25  # height of a bar, and from one to the next, in inches
NARROW = 0.075  # share of the width below which a slice has its name under the bar


@dataclass(frozen=True)
class Slice:
    """A part of a bar: its name, how much it is, a key of PALETTE, whether the name is written."""

    name: str
    amount: int
    role: str = "joint"
    named: bool = True


@dataclass(frozen=True)
class Bar:
    """A title, slices from left to right, and the name of the slice that the next bar opens."""

    title: str
    slices: tuple[Slice, ...]
    opened: str = ""

    def spans(self) -> dict[str, tuple[float, float]]:
        """Where each slice begins and ends, in shares of the whole"""
        total, at, spans = sum(slice.amount for slice in self.slices), 0, {}
        for slice in self.slices:
            spans[slice.name] = (at / total, (at + slice.amount) / total)
            at += slice.amount
        return spans


def bars(bars: list[Bar], alt: str) -> Shown:
    """Bars from the whole down to its smallest part, with lines from each to what it opens."""
    for bar in bars[:-1]:
        if bar.opened not in bar.spans():
            raise ValueError(f"opened must be a slice of {bar.title}, got {bar.opened!r}")
    fig = plt.figure(figsize=(10, STEP * len(bars) - 0.3))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.01, 1.01), ylim=(-STEP * len(bars) + 0.65, 0.35))
    ax.axis("off")
    for row, bar in enumerate(bars):
        top = -row * STEP
        ax.text(0, top + 0.09, bar.title, color=PALETTE["ink"], weight="bold", va="bottom")
        _draw(ax, bar, top)
        if row < len(bars) - 1:
            left, right = bar.spans()[bar.opened]
            corners = [(left, top - HIGH), (right, top - HIGH), (1, top - STEP), (0, top - STEP)]
            ax.add_patch(Polygon(corners, color=PALETTE["noise"], alpha=0.18, lw=0, zorder=0))
    return figure(fig, alt)


def _draw(ax, bar: Bar, top: float) -> None:
    spans = bar.spans()
    for slice in bar.slices:
        left, right = spans[slice.name]
        size = (right - left, HIGH)
        face = PALETTE[slice.role]
        ax.add_patch(Rectangle((left, top - HIGH), *size, fc=face + "55", ec=face, lw=1.5))
        if not slice.named:
            continue
        words, middle = f"{slice.name}\n{short(slice.amount)}", (left + right) / 2
        if right - left >= NARROW:
            ax.text(middle, top - HIGH / 2, words, ha="center", va="center", fontsize=9)
        else:
            words = words.replace("\n", " ")
            end = dict(ha="right", x=min(right, 1)) if middle > 0.5 else dict(ha="left", x=left)
            ax.text(y=top - HIGH - 0.04, s=words, va="top", fontsize=8, **end)


def short(amount: int) -> str:
    """20430401088 -> 20.43 B"""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if amount >= size:
            return f"{amount / size:.4g} {unit}"
    return str(amount)
