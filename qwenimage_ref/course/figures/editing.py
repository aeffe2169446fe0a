"""An edit model's positions drawn over each other, its paths under a slider, and its records."""

import json
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

from ...evaluate import edit_paths
from ...pictures import sheet
from ...posters.read import read
from ...repository import MEASUREMENTS
from .. import charts
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Markdown, Shown, describe, figure, png

FRAMES = ("noise", "image", "text", "joint")  # colours of the target and of the pictures
FEW = 200  # tokens of a picture that are drawn one by one
CUTS = {
    "nothing": (), "the vision tower": ("vision",), "the VAE": ("vae",), "both": edit_paths.PATHS,
}  # fmt: skip


def grids_over(panels: list[dict], alt: str) -> Shown:
    """Panels side by side, each the rows and columns of all pictures over each other

    panels: {"title", "positions": (tokens, 3) whole numbers} each. The target's tokens are drawn
    as a square each, a picture's as dots; where there are many, as one outline.
    """
    fig, axes = plt.subplots(
        1, len(panels), figsize=(3.6 * len(panels), 3.8), layout="constrained", squeeze=False
    )
    for ax, panel in zip(axes[0], panels):
        positions = panel["positions"]
        for frame in positions[:, 0].unique().tolist():
            _draw_grid(ax, positions[positions[:, 0] == frame][:, 1:], frame)
        ax.axhline(0, color=PALETTE["ink"], lw=0.8, ls=":", zorder=0)
        ax.axvline(0, color=PALETTE["ink"], lw=0.8, ls=":", zorder=0)
        ax.set(title=panel["title"], xlabel="column", ylabel="row", aspect="equal")
        ax.invert_yaxis()
    names = max((ax.get_legend_handles_labels() for ax in axes[0]), key=lambda each: len(each[1]))
    fig.legend(*names, frameon=False, loc="outside lower center", ncols=len(names[1]))
    return figure(fig, alt)


def _draw_grid(ax, places, frame: int) -> None:
    colour = PALETTE[FRAMES[frame]]
    name = "target" if frame == 0 else f"picture {frame}"
    rows, cols = places[:, 0], places[:, 1]
    low, high = (rows.min() - 0.5, cols.min() - 0.5), (rows.max() + 0.5, cols.max() + 0.5)
    sides = float(high[1] - low[1]), float(high[0] - low[0])
    ax.add_patch(
        Rectangle(
            (float(low[1]), float(low[0])), *sides, fc=colour + "22", ec=colour, lw=2,
            label=name,
        )
    )  # fmt: skip
    if len(places) <= FEW:
        size, marker = (60, "s") if frame == 0 else (14, "o")
        face = "none" if frame == 0 else colour
        ax.scatter(cols, rows, size, marker=marker, facecolors=face, edgecolors=colour, lw=0.8)
    ax.autoscale_view()


class PathPanel(Panel):
    """Sliders for an instruction and for what is cut; below, the poster and what is painted.

    `picture.value` is a PNG of both. Seeds are all 0.
    """

    summary = "sliders for the instruction and for the path that is cut; run the notebook to move"

    def __init__(self, pipe, poster: Image.Image, instructions: list[str]):
        self.pipe, self.poster = pipe, poster
        self.instruction = slider("instruction", instructions, instructions[0])
        self.cut = slider("cut off", tuple(CUTS), "nothing")
        self.picture, self.words = picture_box(520, 256), ipywidgets.Label()
        super().__init__([self.instruction, self.cut], [self.picture, self.words])

    def state(self, instruction: str, cut: str) -> tuple[bytes, str]:
        painted = cut_off(self.pipe, instruction, self.poster, CUTS[cut])
        return png(sheet([self.poster, painted], 2, gap=4)), describe(read(painted))


def cut_off(pipe, prompt: str, poster: Image.Image, cut: tuple = (), seed: int = 0) -> Image.Image:
    """A poster edited as the prompt says, with the paths in `cut` cut off at inference"""
    vision, vae = ([] if path in cut else [poster] for path in edit_paths.PATHS)
    return edit_paths.paint(pipe, prompt, vision, vae, poster.size, seed)


# -- records --------------------------------------------------------------------------------------

GOALS = {  # name: goal of the whole editor, and its place in a record
    "instruction obeyed": (0.85, lambda record: record["edits"][0]["obeyed"]),
    "the rest untouched": (0.90, lambda record: record["edits"][0]["untouched"]),
    "both": (0.80, lambda record: record["edits"][0]["both"]),
    "mask, mean IoU": (0.85, lambda record: record["understanding"]["mask"]),
    "depth in the right order": (0.90, lambda record: record["understanding"]["depth"]),
}
HEADER = ["editor", "instructions", *GOALS]
ARMS = ("both-paths", "vae-only", "vision-only")  # trained alike but for their paths


def recorded(folder: Path = MEASUREMENTS) -> dict[str, dict]:
    """{name of the editor: its record}, the whole editor first, of evaluate.editing"""
    files = sorted(folder.glob("editing_*.json"), key=lambda file: (len(file.stem), file.stem))
    return {
        file.stem.removeprefix("editing_"): json.loads(file.read_text("utf-8")) for file in files
    }


def rows(records: dict[str, dict]) -> list[list]:
    """Rows of a table under HEADER: shares or means with their 95 % intervals"""
    return [
        [name, record["captions"], *(_with_bounds(place(record)) for _, place in GOALS.values())]
        for name, record in records.items()
    ]


def _with_bounds(row: dict) -> str:
    middle = row["share"] if "share" in row else row["mean"]
    return f"{middle:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def verdicts(records: dict[str, dict]) -> dict[str, str]:
    """{goal: whether the first record's interval lies above it, below it, or around it}"""
    lines = {}
    for record in [*records.values()][:1]:
        for name, (goal, place) in GOALS.items():
            low, high = (place(record)[end] for end in ("low", "high"))
            outcome = "reached" if low >= goal else "missed" if high < goal else "open"
            lines[name] = f"at least {goal:g}: {outcome}"
    return lines


def arms(records: dict[str, dict]) -> Shown | Markdown:
    """Shares of instructions obeyed, of posters untouched elsewhere, and of both, by editor"""
    if not records:
        return Markdown("No editor has been measured yet.")
    bars = {}
    for name, record in records.items():
        whole = record["edits"][0]
        bars[f"{name}: both"] = whole["both"]
        # careful: names are keys, so each editor has its own number of spaces behind
        for part in ("obeyed", "untouched"):
            bars[f"  {part}{' ' * len(bars)}"] = whole[part]
    alt = f"For {', '.join(records)}: shares of instructions obeyed, of the rest untouched, of both"
    return charts.bars(bars, alt)


ORDERS = ["editor", "as they stand", "pictures and numbers turned", "pictures alone turned"]


def order_rows(records: dict[str, dict]) -> list[list]:
    """Rows of a table under ORDERS: shares that show the first poster, with 95 % intervals"""
    names = ("straight", "turned", "pictures")
    return [
        [name, *(_with_bounds(record["swapped"][each]) for each in names)]
        for name, record in records.items()
        if "swapped" in record
    ]
