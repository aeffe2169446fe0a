"""The roofline: operations a second that a machine can reach, over operations for each byte."""

import matplotlib.pyplot as plt
import numpy as np

from ..show import PALETTE, Shown, figure
from .costs import Machine, Work

REACH = (10, 500_000)  # operations a byte that the chart shows
ROLES = ("text", "image", "joint", "accent")  # colours of the machines, in order


def ridge(machine: Machine) -> float:
    """Operations a byte from which on multiplying takes longer than fetching"""
    return machine.flops / machine.bandwidth


def reached(machine: Machine, per_byte: float) -> float:
    """Operations a second, at most, of work that needs so many operations for each byte"""
    return min(machine.flops, per_byte * machine.bandwidth)


def chart(machines: list[Machine], parts: dict[str, Work], alt: str) -> Shown:
    """A roof for each machine, and on each roof a dot where each part of the work stands."""
    fig, ax = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
    places = np.geomspace(*REACH, 200)
    intensity = {name: work.flops / work.bytes for name, work in parts.items()}
    for role, machine in zip(ROLES, machines):
        colour = PALETTE[role]
        ax.plot(places, [reached(machine, place) for place in places], color=colour, lw=2)
        heights = [reached(machine, place) for place in intensity.values()]
        ax.plot([*intensity.values()], heights, "o", color=colour)
        ax.annotate(
            machine.name, (REACH[1], machine.flops), (0, 5), textcoords="offset points",
            ha="right", color=colour, fontsize=9,
        )  # fmt: skip
    for name, place in intensity.items():
        ax.axvline(place, color=PALETTE["noise"], lw=0.8, ls=":", zorder=0)
        ax.annotate(
            f"{name} ", (place, 0), (-3, 4), xycoords=ax.get_xaxis_transform(),
            textcoords="offset points", rotation=90, ha="right", va="bottom", fontsize=9,
        )  # fmt: skip
    lowest = min((reached(machine, REACH[0]) for machine in machines), default=1)
    ax.set(xscale="log", yscale="log", xlim=REACH, ylim=(lowest / 100, None))  # room for names
    ax.set(xlabel="operations for each byte of weights", ylabel="operations a second, at most")
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)
