"""A hyper-network on a plane: points of an ellipse become the LoRA with which a field paints it."""

import math
from typing import NamedTuple

import torch
from torch import nn

from ...sampler import euler_step

RANK, SEEN = 2, 64  # rank of the written matrices; points that are looked at


class Ellipse(NamedTuple):
    """A style on the plane: two radii, and an angle in radians."""

    long: float
    short: float
    tilt: float


CIRCLE = Ellipse(1.2, 1.2, 0.0)


def some_ellipse(generator: torch.Generator, flat: bool = False) -> Ellipse:
    """A random ellipse; the flat ones, short below 0.6, are those that training never shows"""
    a, b, c = torch.rand(3, generator=generator).tolist()
    short = 0.45 + 0.15 * b if flat else 0.6 + 0.5 * b
    return Ellipse(1.3 + 0.7 * a, short, math.pi * c)


def points(style: Ellipse, count: int, generator: torch.Generator):
    """-> (count, 2) on the outline"""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    x = torch.stack([style.long * angle.cos(), style.short * angle.sin()], dim=1)
    cos, sin = math.cos(style.tilt), math.sin(style.tilt)
    return x @ torch.tensor([[cos, sin], [-sin, cos]])


def moments(x):
    """(N, 2) -> (6,): the mean products of x, y and 1, the Gram matrix of a plane"""
    channels = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    upper = torch.triu_indices(3, 3)
    return (channels.T @ channels / len(x))[upper[0], upper[1]]


class Field(nn.Module):
    """(B, N, 2), (B, N, 1) -> (B, N, 2) velocity; `written` holds an A and a B for each layer"""

    def __init__(self, width: int = 64):
        super().__init__()
        sizes = [(3, width), (width, width), (width, width), (width, 2)]
        self.layers = nn.ModuleList(nn.Linear(*size) for size in sizes)

    def forward(self, x, sigma, written=None):
        x = torch.cat([x, sigma], dim=2)
        for i, layer in enumerate(self.layers):
            y = layer(x)
            if written is not None:
                A, B = written[i]  # (B, r, in), (B, out, r): a LoRA for each row of the batch
                y = y + torch.einsum("bni,bri,bor->bno", x, A, B)
            x = y if i == len(self.layers) - 1 else torch.tanh(y)
        return x


class Writer(nn.Module):
    """(B, 6) moments -> an A (B, r, in) and a B (B, out, r) for each layer of a field"""

    def __init__(self, field: Field, compress: int = 16):
        super().__init__()
        self.sizes = [(layer.in_features, layer.out_features) for layer in field.layers]
        self.towards_a = nn.ModuleList(self._bottleneck(compress, i * RANK) for i, _ in self.sizes)
        self.towards_b = nn.ModuleList(self._bottleneck(compress, o * RANK) for _, o in self.sizes)
        for each in self.towards_b:
            nn.init.zeros_(each[1].weight)  # a new writer adds nothing

    @staticmethod
    def _bottleneck(compress: int, out: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(6, compress, bias=False), nn.Linear(compress, out, bias=False)
        )

    def forward(self, vector):
        return [
            (a(vector).view(-1, RANK, i), b(vector).view(-1, o, RANK))
            for (i, o), a, b in zip(self.sizes, self.towards_a, self.towards_b)
        ]


def flow_loss(field: Field, data, generator: torch.Generator, written=None):
    """(B, N, 2) -> (): flow matching on points, each with noise and a level of its own"""
    noise = torch.randn(data.shape, generator=generator)
    sigma = torch.rand(*data.shape[:2], 1, generator=generator)
    velocity = field((1 - sigma) * data + sigma * noise, sigma, written)
    return (velocity - (noise - data)).pow(2).mean()


def teach_base(steps: int, generator: torch.Generator) -> Field:
    """A field that paints the circle"""
    field = Field()
    optimiser = torch.optim.Adam(field.parameters(), lr=4e-3)
    for _ in range(steps):
        data = points(CIRCLE, 512, generator).unsqueeze(0)
        _descend(optimiser, flow_loss(field, data, generator))
    return field.requires_grad_(False)


def teach_writer(field: Field, steps: int, generator: torch.Generator, styles: int = 16) -> Writer:
    """A writer for that field, which stays as it is; each step shows `styles` new ellipses"""
    writer = Writer(field)
    optimiser = torch.optim.Adam(writer.parameters(), lr=4e-3)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        ellipses = [some_ellipse(generator) for _ in range(styles)]
        seen = torch.stack([moments(points(each, SEEN, generator)) for each in ellipses])
        data = torch.stack([points(each, SEEN, generator) for each in ellipses])
        _descend(optimiser, flow_loss(field, data, generator, writer(seen)))
        falling.step()
    return writer.requires_grad_(False)


def trained_on(field: Field, seen, steps: int, generator: torch.Generator):
    """A LoRA of the same rank and layers that is trained on the points (N, 2) alone"""
    written = []
    for layer in field.layers:
        bound = layer.in_features**-0.5
        A = bound * (2 * torch.rand(1, RANK, layer.in_features, generator=generator) - 1)
        B = torch.zeros(1, layer.out_features, RANK)
        written.append((A.requires_grad_(True), B.requires_grad_(True)))
    optimiser = torch.optim.Adam([each for pair in written for each in pair], lr=1e-2)
    for _ in range(steps):
        _descend(optimiser, flow_loss(field, seen.unsqueeze(0), generator, written))
    return [(A.detach(), B.detach()) for A, B in written]


@torch.no_grad()
def painted(field: Field, written, count: int, seed: int = 0, steps: int = 40):
    """-> (count, 2) points from noise, by Euler steps"""
    x = torch.randn(1, count, 2, generator=torch.Generator().manual_seed(seed))
    levels = torch.linspace(1, 0, steps + 1)
    for sigma, sigma_next in zip(levels, levels[1:]):
        velocity = field(x, sigma.expand(1, count, 1), written)
        x = euler_step(x, velocity, sigma, sigma_next)
    return x[0]


def _descend(optimiser, loss) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
