"""What a picture costs, drawn, and controls over the estimate."""

import ipywidgets
import matplotlib.pyplot as plt

from ..panel import Panel
from ..show import PALETTE, Shown, figure
from . import costs
from .costs import DATA_SHEET, SIZES, MMDiTConfig, Work

STEPS = (4, 8, 20, 50)


def chart(alt: str, text: int = 64) -> Shown:
    """Left: one pass at the official sizes. Right: the parts of a picture of 1328 x 1328."""
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 3.4), layout="constrained", width_ratios=(1.15, 1)
    )
    _passes(left, text)
    _parts(right, text)
    for ax in (left, right):
        ax.invert_yaxis()
        ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)


def _passes(ax, text: int) -> None:
    config = MMDiTConfig()
    for place, size in enumerate(SIZES):
        block = costs.block_flops(config.inner_dim, costs.image_tokens(*size), text)
        start = 0.0
        for name, role in (("matrices", "joint"), ("attention", "image")):
            tera = config.num_layers * block[name] / 1e12
            label = name if place == 0 else None
            ax.barh(place, tera, left=start, color=PALETTE[role], height=0.66, label=label)
            start += tera
        ax.text(start + 2, place, f"{start:.0f}", va="center", fontsize=9)
    names = [f"{width} × {height}" for width, height in SIZES]
    ax.set_yticks(range(len(SIZES)), names)
    ax.set(xlabel="operations of one pass, in 10¹²", xlim=(0, 205), title="One pass of the MMDiT")
    ax.legend(frameon=False, loc="lower right", fontsize=9)


def _parts(ax, text: int) -> None:
    work = costs.picture(SIZES[0], 50, True, text)
    bars = {
        "text encoder, twice": (work["text encoder"].flops, "text"),
        "VAE decoder, once": (work["VAE decoder"].flops, "image"),
        "MMDiT, one pass": (costs.picture(SIZES[0], 1, False, text)["MMDiT"].flops, "joint"),
        "MMDiT, 50 guided steps": (work["MMDiT"].flops, "joint"),
    }
    for place, (flops, role) in enumerate(bars.values()):
        ax.barh(place, flops, color=PALETTE[role], height=0.6)
        tera = flops / 1e12
        ax.text(1.25 * flops, place, f"{tera:,.0f}" if tera > 10 else f"{tera:.1f}", va="center")
    ax.set_yticks(range(len(bars)), list(bars))
    ax.set(xscale="log", xlim=(3e11, 2e17), xlabel="operations (each mark is ten times the last)")
    ax.set_title("A picture of 1328 × 1328, in 10¹²")


def words(size: tuple[int, int], steps: int, guided: bool, machine: costs.Machine) -> str:
    """One line: operations, weights fetched, seconds, and what the machine waits for."""
    work = costs.picture(size, steps, guided)
    parts = {name: machine.seconds(part) for name, part in work.items()}
    total = sum(work.values(), Work(0, 0))
    mmdit = work["MMDiT"]
    waits = mmdit.bytes / machine.bandwidth > mmdit.flops / machine.flops
    return (
        f"{total.flops / 1e12:,.0f} × 10¹² operations, {total.bytes / 1e9:,.0f} GB of weights "
        f"fetched: {costs.duration(sum(parts.values()))}, and most of it spent on "
        f"{'fetching' if waits else 'multiplying'}"
    )


class CostPanel(Panel):
    """Size, steps, guidance and machine over the line that they lead to, `line.value`."""

    summary = (
        "choices of size, steps, guidance and machine over a line with operations, bytes and "
        "seconds; run the notebook to turn them"
    )

    def __init__(self):
        machines = {machine.name: machine for machine in (costs.measured(), DATA_SHEET)}
        sizes = {f"{width} × {height}": (width, height) for width, height in ((256, 256), *SIZES)}
        self.size = ipywidgets.Dropdown(options=sizes, value=SIZES[0], description="size")
        self.steps = ipywidgets.SelectionSlider(options=STEPS, value=50, description="steps")
        self.guided = ipywidgets.Checkbox(True, description="guidance")
        self.machine = ipywidgets.Dropdown(
            options=machines, description="machine", layout=ipywidgets.Layout(width="28em")
        )
        self.line = ipywidgets.Label()
        super().__init__([self.size, self.steps, self.guided, self.machine], [self.line])

    def state(self, size, steps, guided, machine) -> tuple[str]:
        return (words(size, steps, guided, machine),)
