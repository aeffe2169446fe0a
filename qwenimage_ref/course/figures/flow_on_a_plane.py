"""Flow matching on a plane: points instead of pictures, two shapes instead of prompts.

Everything that a picture model does in 176,400 dimensions can be seen whole in two: noise, the way
to the data, a network that learns the velocity, guidance. A point stands for one token.
"""

import math

import ipywidgets
import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import MaxNLocator
from torch import nn

from ...sampler import euler_step
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Shown, figure

NO_LABEL, STAR, RING = 0, 1, 2  # what a field is asked for; no label: either shape
EDGE = 2.9  # half the side of the square that is drawn
STEPS = (2, 4, 8, 16, 32)
SHIFTS = (0.5, 1, 2, 3, 5)


# ---- points


def star(count: int, generator: torch.Generator):
    """-> (count, 2) points on the outline of a star with five tips"""
    radius = torch.tensor([1.9, 0.8] * 5)
    angle = torch.arange(10) * math.pi / 5
    corners = radius[:, None] * torch.stack([angle.sin(), angle.cos()], dim=1)
    side = torch.randint(10, (count,), generator=generator)
    along = torch.rand(count, 1, generator=generator)
    return (1 - along) * corners[side] + along * corners[(side + 1) % 10]


def ring(count: int, generator: torch.Generator):
    """-> (count, 2) points on a circle of radius 1.4"""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return 1.4 * torch.stack([angle.sin(), angle.cos()], dim=1)


def noise(count: int, seed: int):
    """-> (count, 2) points as noise draws them, a cloud around the middle"""
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def batch(count: int, generator: torch.Generator):
    """-> (count, 2) data, (count,) labels: half stars, half rings, three labels in ten withheld"""
    half = count // 2
    data = torch.cat([star(half, generator), ring(count - half, generator)])
    label = torch.tensor([STAR] * half + [RING] * (count - half))
    label[torch.rand(count, generator=generator) < 0.3] = NO_LABEL
    return data, label


def distance(x, shape) -> float:
    """(N, 2), (M, 2) -> mean distance of the points from the nearest point of the shape"""
    return torch.cdist(x, shape).min(dim=1).values.mean().item()


# ---- fields


def exact_velocity(x, sigma: float, data, copies: int = 1):
    """(N, 2), (M, 2) -> (N, 2): the mean of noise - data over every line that passes at x

    The line that comes from a point of the data counts with the density of the noise it needs.
    copies: x is the mean over so many pixels that repeat one point, each with noise of its own.
    """
    needed = (x[:, None] - (1 - sigma) * data) / sigma  # (N, M, 2): the noise of each line
    weight = torch.softmax(-copies * needed.pow(2).sum(dim=-1) / 2, dim=1)  # (N, M)
    return (weight[..., None] * (needed - data)).sum(dim=1)


class Field(nn.Module):
    """A small network: where a point stands, the noise level and a label -> its velocity."""

    def __init__(self, width: int = 96, waves: int = 32):
        super().__init__()
        self.waves = nn.Parameter(2 * torch.randn(2, waves))  # high frequencies show fine shapes
        self.label = nn.Embedding(3, 8)
        self.net = nn.Sequential(
            nn.Linear(2 + 2 * waves + 3 + 8, width),
            *(nn.SiLU(), nn.Linear(width, width)),
            *(nn.SiLU(), nn.Linear(width, width)),
            *(nn.SiLU(), nn.Linear(width, 2)),
        )

    def forward(self, x, sigma, label):
        """(N, 2), (N,), (N,) -> (N, 2)"""
        place = x @ self.waves
        level = torch.stack([sigma, (math.pi * sigma).sin(), (math.pi * sigma).cos()], dim=1)
        seen = [x, place.sin(), place.cos(), level, self.label(label)]
        return self.net(torch.cat(seen, dim=1))


def ask(field: Field, label: int):
    """A field and a label -> the function of (x, sigma) that says the velocity"""

    def velocity(x, sigma):
        with torch.no_grad():
            return field(x, sigma.expand(len(x)), torch.full((len(x),), label))

    return velocity


def flow(velocity, x, levels) -> list[torch.Tensor]:
    """Points (N, 2) at levels[0] -> where they stand at each of the levels, by Euler steps"""
    states = [x]
    for sigma, sigma_next in zip(levels, levels[1:]):
        states.append(euler_step(states[-1], velocity(states[-1], sigma), sigma, sigma_next))
    return states


def shifted(steps: int, shift: float):
    """-> (steps + 1,) noise levels from 1 to 0, evenly spaced, then moved towards noise"""
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + (1 / s - 1)), torch.zeros(1)])


# ---- drawings


def scatter(ax, points, colour: str, size: float = 4) -> None:
    ax.scatter(*points.T, s=size, color=PALETTE[colour], linewidths=0)
    _frame(ax)


def clouds(panels: list[tuple], alt: str, columns: int = 5) -> Shown:
    """Panels side by side. Each: title, {colour of the palette: points (N, 2)}"""
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    fig, axes = plt.subplots(
        rows, columns, figsize=(2.2 * columns, 2.45 * rows), layout="constrained", squeeze=False
    )
    for ax, (title, groups) in zip(axes.flat, panels):
        for colour, points in groups.items():
            scatter(ax, points, colour)
        ax.set_title(title, fontsize=10)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    return figure(fig, alt)


def arrows(sigmas, data, alt: str) -> Shown:
    """The field of the mean velocity at some levels, against it: where a step leads"""
    fig, axes = plt.subplots(
        1, len(sigmas), figsize=(3.2 * len(sigmas), 3.4), layout="constrained", squeeze=False
    )
    side = torch.linspace(-2.4, 2.4, 15)
    places = torch.cartesian_prod(side, side)
    for ax, sigma in zip(axes[0], sigmas):
        scatter(ax, data, "joint", size=1)
        towards = -exact_velocity(places, sigma, data)
        ax.quiver(*places.T, *towards.T, color=PALETTE["text"], angles="xy", width=0.004)
        ax.set_title(f"sigma {sigma:g}")
    return figure(fig, alt)


def trails(ax, states: list[torch.Tensor], shape) -> None:
    """Ways of the first eighty particles, where all of them began and ended, over the shape"""
    ways = torch.stack(states)[:, :80]
    ax.plot(ways[..., 0], ways[..., 1], color=PALETTE["light"], linewidth=0.8, zorder=0)
    scatter(ax, shape, "joint", size=0.5)
    scatter(ax, states[0], "noise", size=3)
    scatter(ax, states[-1], "image", size=5)


def schedules(panels: list[tuple], alt: str) -> Shown:
    """Noise levels over steps. Each panel: title, {name: (levels, colour, line style)}"""
    fig, axes = plt.subplots(
        1, len(panels), figsize=(5.2 * len(panels), 3.6), layout="constrained", squeeze=False
    )
    for ax, (title, lines) in zip(axes[0], panels):
        for name, (levels, colour, style) in lines.items():
            ax.plot(levels, style, color=PALETTE[colour], label=name, markersize=4)
        ax.set(xlabel="step", ylabel="sigma", title=title, ylim=(0, 1.02))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))  # no step 2.5
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=9)
    return figure(fig, alt)


def _frame(ax) -> None:
    ax.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(PALETTE["noise"])


# ---- sliders


class FlowSliders(Panel):
    """Two sliders over particles that flow to the star. `picture.value` holds their PNG."""

    summary = "sliders for steps and shift over flowing particles; run the notebook to move"

    def __init__(self, field: Field, steps: int = 8, shift: float = 1):
        self.field = field
        self.start = noise(400, seed=0)
        self.shape = star(2000, torch.Generator().manual_seed(0))
        self.steps = slider("steps", STEPS, steps)
        self.shift = slider("shift", SHIFTS, shift)
        self.picture, self.words = picture_box(None, None), ipywidgets.Label()
        super().__init__([self.steps, self.shift], [self.picture, self.words])

    def states(self, steps: int, shift: float) -> list[torch.Tensor]:
        """Where the particles stand after each step."""
        return flow(ask(self.field, STAR), self.start, shifted(steps, shift))

    def off(self, steps: int, shift: float) -> float:
        """Mean distance from the star at the end."""
        return distance(self.states(steps, shift)[-1], self.shape)

    def state(self, steps: int, shift: float) -> tuple[bytes, str]:
        fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.6), layout="constrained")
        left.plot(shifted(steps, shift), "o-", color=PALETTE["text"])
        left.set(xlabel="step", ylabel="sigma", ylim=(-0.02, 1.02))
        left.spines[["top", "right"]].set_visible(False)
        trails(right, self.states(steps, shift), self.shape)
        words = f"{steps} steps, shift {shift:g}: {self.off(steps, shift):.3f} from the star"
        return figure(fig, words).data, words
