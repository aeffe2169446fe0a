"""Numbers of few bits, in pictures: their bits, their steps, blocks of them, and what they cost."""

from dataclasses import dataclass

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle

from ..panel import Panel, picture_box
from ..show import PALETTE, Shown, figure, png


@dataclass(frozen=True)
class Kind:
    """A kind of floating-point number: after the sign come exponent bits, then fraction bits."""

    exponent: int
    fraction: int
    dtype: torch.dtype

    @property
    def bits(self) -> int:
        return 1 + self.exponent + self.fraction


KINDS = {
    "float32": Kind(8, 23, torch.float32),
    "bfloat16": Kind(8, 7, torch.bfloat16),
    "float16": Kind(5, 10, torch.float16),
    "float8_e4m3fn": Kind(4, 3, torch.float8_e4m3fn),
}
WHOLE = {8: torch.uint8, 16: torch.int16, 32: torch.int32}  # types of as many bits, to count them
PARTS = (("sign", "wrong"), ("exponent", "text"), ("fraction", "image"))
SERIES = ("ink", "text", "image", "joint", "wrong", "accent", "light", "noise")


def pattern(value: float, name: str) -> tuple[str, str, str]:
    """A number, rounded to a kind -> the bits of its sign, exponent and fraction"""
    kind = KINDS[name]
    rounded = torch.tensor([value]).to(kind.dtype).view(WHOLE[kind.bits])
    text = f"{rounded.item() % 2**kind.bits:0{kind.bits}b}"
    return text[0], text[1 : 1 + kind.exponent], text[1 + kind.exponent :]


def kept(value: float, name: str) -> float:
    """What a kind of number makes of a value."""
    return torch.tensor([value]).to(KINDS[name].dtype).float().item()


def all_numbers(name: str) -> torch.Tensor:
    """Every number of a kind of at most 16 bits, in the order of the patterns, as float32"""
    kind = KINDS[name]
    if kind.bits > 16:
        raise ValueError(f"kind must have at most 16 bits, got {name} with {kind.bits}")
    patterns = torch.arange(2**kind.bits, dtype=torch.int32).to(WHOLE[kind.bits])
    return patterns.view(kind.dtype).float()


def steps_between(numbers) -> np.ndarray:
    """Numbers, any order -> the finite ones, sorted, each once"""
    numbers = np.asarray(numbers, dtype=np.float64)
    return np.unique(numbers[np.isfinite(numbers)])


def switches(value: float, alt: str) -> Shown:
    """One value in all kinds of numbers: their bits, and what they keep of it"""
    fig, ax = plt.subplots(figsize=(11, 2.3), layout="constrained")
    for row, name in enumerate(KINDS):
        place = 0.0
        for bits, (_, colour) in zip(pattern(value, name), PARTS):
            for bit in bits:
                strength = 0.85 if bit == "1" else 0.15
                box = Rectangle((place, row), 0.9, 0.8, fc=PALETTE[colour], alpha=strength, lw=0)
                ax.add_patch(box)
                ink = PALETTE["paper" if bit == "1" else "ink"]
                ax.text(place + 0.45, row + 0.42, bit, ha="center", va="center", color=ink)
                place += 1
            place += 0.3
        ax.text(-0.4, row + 0.42, name, ha="right", va="center")
        ax.text(place + 0.2, row + 0.42, f"{kept(value, name):.8g}", va="center")
    ax.set(xlim=(-6, 38), ylim=(len(KINDS), -0.7))
    for x, (part, colour) in zip((0, 1.3, 9.6), PARTS):
        ax.text(x, -0.15, part, color=PALETTE[colour], ha="right" if x == 0 else "left")
    ax.axis("off")
    return figure(fig, alt)


def worst_rounding(name: str, octaves) -> list[float]:
    """The worst relative error of rounding a number between 2^n and 2^(n+1), for each n"""
    between = torch.linspace(1, 2, 2**13 + 1, dtype=torch.float64)  # halfway, too
    dtype, worst = KINDS[name].dtype, []
    largest = torch.finfo(dtype).max  # what is larger becomes this one
    for n in octaves:
        x = between * 2.0**n
        rounded = x.clamp(max=largest).float().to(dtype).double()
        worst.append(((rounded - x) / x).abs().max().item())
    return worst


def rounding(names: list[str], octaves, alt: str) -> Shown:
    """Worst relative error by size of the number; a kind ends where its line leaves the floor"""
    fig, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for name, colour in zip(names, SERIES[1:]):
        x = [2.0**n for n in octaves]
        ax.plot(x, worst_rounding(name, octaves), color=PALETTE[colour], label=name, lw=2)
    ax.set(xscale="log", yscale="log", ylim=(1e-4, 3))
    ax.set(xlabel="size of the number", ylabel="worst error, relative")
    ax.axvspan(0.005, 0.2, color=PALETTE["noise"], alpha=0.2, lw=0, label="most weights")
    ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)


def weights_on_grids(panels: dict[str, tuple], alt: str) -> Shown:
    """{title: (weights, {name of a grid: its numbers})} -> histograms over the numbers to be had"""
    fig, axes = plt.subplots(
        1, len(panels), figsize=(5.2 * len(panels), 3.4), layout="constrained", squeeze=False
    )
    for ax, (title, (weights, grids)) in zip(axes[0], panels.items()):
        end = 3.5 * float(weights.std())
        heights, *_ = ax.hist(weights.flatten().numpy(), 80, (-end, end), color=PALETTE["light"])
        step = heights.max() / 6
        for row, (name, numbers) in enumerate(grids.items(), 1):
            inside = [x for x in steps_between(numbers) if abs(x) <= end]
            ax.vlines(inside, -row * step - step * 0.7, -row * step, color=PALETTE["ink"], lw=0.7)
            ax.text(-end * 1.04, -row * step - step * 0.35, name, ha="right", va="center")
        ax.set(xlim=(-end, end), yticks=[], title=title)
        ax.spines[["top", "right", "left"]].set_visible(False)
    return figure(fig, alt)


def blocks(before, after: dict[str, tuple], alt: str) -> Shown:
    """32 weights; {title: (the same, unpacked, numbers that the block could hold)} -> panels"""
    fig, axes = plt.subplots(
        1, len(after), figsize=(3.9 * len(after), 3.2), layout="constrained", sharey=True
    )
    places = np.arange(len(before))
    for ax, (title, (unpacked, grid)) in zip(axes, after.items()):
        ax.hlines(grid, -1, len(before), color=PALETTE["noise"], lw=min(0.5, 20 / len(grid)))
        ax.vlines(places, before, unpacked, color=PALETTE["wrong"], lw=1.5)
        ax.plot(places, unpacked, "_", color=PALETTE["wrong"], ms=7, mew=2, label="unpacked")
        ax.plot(places, before, "o", color=PALETTE["text"], ms=3.5, label="weight")
        ax.set(title=title, xlabel="place in the block", xlim=(-1, len(before)))
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=True, fontsize=8, loc="upper right")
    return figure(fig, alt)


def layer_errors(formats: dict[str, dict[str, float]], alt: str) -> Shown:
    """{format: {layer: relative error}} -> a dot for each layer, block by block"""
    fig, ax = plt.subplots(figsize=(10, 4), layout="constrained")
    for (name, errors), colour in zip(formats.items(), SERIES):
        ax.plot(list(errors.values()), ".", color=PALETTE[colour], label=name, ms=5)
    names = list(next(iter(formats.values())))
    firsts = [i for i, name in enumerate(names) if name.endswith("img_mod.1")]
    for i in firsts:
        ax.axvline(i - 0.5, color=PALETTE["noise"], lw=0.5)
    middles = [i + len(names) / len(firsts) / 2 for i in firsts]
    ax.set_xticks(middles, [f"block {n}" for n in range(len(firsts))])
    ax.tick_params(axis="x", length=0)
    ax.set(yscale="log", ylabel="error of the weight, relative", xlim=(-1, len(names)))
    ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)


def quality(rows: dict[str, dict], alt: str) -> Shown:
    """{format: {"bytes", "scene", "word": {"low", "share", "high"}}} -> scores over megabytes

    What would cover its neighbour is moved aside by 3 %.
    """
    fig, ax = plt.subplots(figsize=(10, 4.4), layout="constrained")
    order = sorted(rows, key=lambda name: rows[name]["bytes"])
    places = [rows[name]["bytes"] / 1e6 for name in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], 1.03 * places[i - 1])
    # places of the names, which would cover each other over the dots
    spread = np.geomspace(3.6, 24, len(order))
    for (score, colour), mark in zip((("scene", "text"), ("word", "image")), "os"):
        x = [place * (0.995 if mark == "o" else 1.005) for place in places]
        shares = [[100 * rows[name][score][key] for name in order] for key in ("low", "high")]
        ax.vlines(x, *shares, color=PALETTE[colour], lw=2, alpha=0.6)
        middle = [100 * rows[name][score]["share"] for name in order]
        label = {"scene": "whole scene right", "word": "word exactly right"}[score]
        ax.plot(x, middle, mark, color=PALETTE[colour], label=label)
    for x, at, name in zip(places, spread, order):
        ax.plot([x, at], [102, 112], color=PALETTE["noise"], lw=0.7, clip_on=False)
        ax.text(at, 113, name.replace(", ", ",\n"), ha="center", va="bottom", fontsize=9)
    ax.set_xscale("log")
    ticks = (4, 5, 6, 8, 10, 12, 16, 20)
    ax.set_xticks(ticks, list(map(str, ticks)))
    ax.minorticks_off()
    ax.set(xlim=(3.3, 26), ylim=(-2, 102))
    ax.set(xlabel="transformer in millions of bytes", ylabel="per cent, with 95 % interval")
    ax.legend(frameon=False, loc="center right")
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)


class FormatSlider(Panel):
    """A slider over the formats of the weights, above one prompt's picture in each."""

    summary = "a slider for the format of the weights over the picture that they paint"

    def __init__(self, pictures: dict, words: dict[str, str]):
        if pictures.keys() != words.keys():
            raise ValueError(
                f"pictures and words must be of the same formats, got {list(pictures)} and "
                f"{list(words)}"
            )
        self._shown = {name: (png(pictures[name]), words[name]) for name in pictures}
        self.format = ipywidgets.SelectionSlider(options=list(pictures), description="format")
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.format], [self.picture, self.words])

    def state(self, name: str) -> tuple[bytes, str]:
        return self._shown[name]
