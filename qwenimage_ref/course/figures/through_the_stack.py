"""Through the depth of the machine, in pictures: streams that grow, early exits, and its bytes."""

import re

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from ..panel import Panel, picture_box
from ..show import PALETTE, Shown, figure, png

STREAMS = {"img": ("image", "image"), "txt": ("text", "text")}  # name in words, colour

# groups of tensors: name, part, pattern of its keys (the first that fits), colour, opacity
GROUPS = (
    ("MLPs", "transformer", r"_mlp\.", "joint", 1.0),
    ("modulation", "transformer", r"_mod\.", "joint", 0.7),
    ("attention", "transformer", r"\.attn\.", "joint", 0.45),
    ("input and output layers", "transformer", r"", "joint", 0.2),
    ("text layers", "text_encoder", r"^model\.(layers|norm)\.", "text", 0.75),
    ("token embeddings", "text_encoder", r"embed_tokens|lm_head", "text", 0.4),
    ("vision tower", "text_encoder", r"^visual\.", "accent", 0.7),
    ("VAE", "vae", r"", "image", 1.0),
)


def group(part: str, key: str) -> str:
    """A part and an official key -> the name of its group in GROUPS"""
    for name, its_part, pattern, *_ in GROUPS:
        if part == its_part and re.search(pattern, key):
            return name
    raise ValueError(f"{key} of {part} must belong to a group, and fits no pattern of GROUPS")


def bytes_by_group(sizes: dict[str, dict[str, int]]) -> dict[str, int]:
    """{part: {key: bytes}} -> {name in GROUPS: bytes}, in the order of GROUPS"""
    sizes_of = {name: 0 for name, *_ in GROUPS}
    for part, tensors in sizes.items():
        for key, size in tensors.items():
            sizes_of[group(part, key)] += size
    return sizes_of


def shares_by_group(models: dict[str, dict[str, int]], alt: str) -> Shown:
    """{a model's name: bytes of each group} -> a bar for each model, cut into shares"""
    fig, ax = plt.subplots(figsize=(10, 0.85 * len(models) + 1.3), layout="constrained")
    for row, sizes in enumerate(models.values()):
        total, left = sum(sizes.values()), 0.0
        for name, _, _, colour, strength in GROUPS:
            share = 100 * sizes[name] / total
            label = name if row == 0 else None
            ax.barh(row, share, left=left, color=PALETTE[colour], alpha=strength, label=label)
            if share >= 2.5:
                ax.text(left + share / 2, row, f"{share:.0f}", ha="center", va="center")
            left += share
    ax.set_yticks(range(len(models)), list(models))
    ax.invert_yaxis()
    ax.set(xlim=(0, 100), xlabel="per cent of all bytes")
    ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return figure(fig, alt)


def stream_sizes(panels: dict[str, dict[str, list[float]]], alt: str) -> Shown:
    """{title: {"img": rms behind each block, "txt": likewise}} -> panels side by side"""
    fig, axes = plt.subplots(
        1, len(panels), figsize=(4.8 * len(panels), 3.3), layout="constrained", squeeze=False
    )
    for ax, (title, streams) in zip(axes[0], panels.items()):
        for stream, (name, colour) in STREAMS.items():
            values = streams[stream]
            marker = "o" if len(values) < 20 else None
            ax.plot(
                range(len(values)),
                values,
                color=PALETTE[colour],
                marker=marker,
                label=f"{name} stream",
            )
        ax.set(xlabel="behind block", ylabel="rms of the stream", ylim=(0, None))
        ax.set_title(title, fontsize=10)
        ax.legend(frameon=False, loc="lower right")
        ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)


def file_bytes(content: bytes, regions: dict[str, tuple[int, int, str]], alt: str) -> Shown:
    """A small file, sixteen bytes a row. regions: {name: (start, stop, colour)}, without gaps"""
    rows = -(-len(content) // 16)
    fig, ax = plt.subplots(figsize=(10, 0.52 * rows + 0.6), layout="constrained")
    for name, (start, stop, colour) in regions.items():
        for at in range(start, stop):
            x, y = at % 16, at // 16
            box = Rectangle((x, y), 0.94, 0.9, fc=PALETTE[colour] + "44", lw=0)
            box.set_label(name if at == start else None)
            ax.add_patch(box)
            ax.text(x + 0.47, y + 0.32, f"{content[at]:02x}", ha="center", va="center", fontsize=9)
            letter = chr(content[at]) if 32 < content[at] < 127 else ""
            ax.text(x + 0.47, y + 0.68, letter, ha="center", va="center", fontsize=9, weight="bold")
    for y in range(rows):
        ax.text(-0.2, y + 0.45, str(16 * y), ha="right", va="center", fontsize=8)
    ax.set(xlim=(-1, 16), ylim=(rows, 0))
    ax.axis("off")
    ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return figure(fig, alt)


class DepthSlider(Panel):
    """A slider over the depth: the picture if the network ended after that many blocks."""

    summary = "a slider for the number of blocks over the picture that they would paint"

    def __init__(self, pictures: list, errors: list[float]):
        if len(pictures) != len(errors):
            raise ValueError(
                f"pictures and errors must be as many, got {len(pictures)} and {len(errors)}"
            )
        self._pngs, self._errors = list(map(png, pictures)), errors
        last = len(pictures) - 1
        self.blocks = ipywidgets.IntSlider(last, 0, last, description="blocks")
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.blocks], [self.picture, self.words])

    def state(self, blocks: int) -> tuple[bytes, str]:
        words = f"after {blocks} blocks the velocity is off by {self._errors[blocks]:.2f}"
        return self._pngs[blocks], words
