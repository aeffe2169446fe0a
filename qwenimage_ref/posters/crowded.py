"""Posters of two to four different shapes, each in a box of its own: more than captions can order.

The pocket model knows one shape, two, or equal ones. Whether each shape gets its own colour among
four is the question that regions with prompts of their own were made for.
"""

import math
import random
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from .draw import Placed
from .read import read
from .scene import BACKGROUNDS, COLOURS, SHAPES, SIDE, UNSEEN_PAIRS, Shape

RADIUS = (14.0, 19.0)  # pixels
FREE = 7  # pixels between two shapes, and to the edges
GROWN = 4  # pixels by which a box is wider than its shape on every side
NEAR = 12  # pixels that a shape may stand beside the middle of its box


@dataclass(frozen=True)
class Crowded:
    """Some shapes, where they stand, and what their boxes and the whole are called."""

    placed: Placed

    @property
    def prompt(self) -> str:
        """The whole in words, which do not say what is where"""
        *first, last = map(named, self.placed.shapes)
        background = f"on a {self.placed.background} background"
        return f"{', '.join(first)} and {last} {background}" if first else f"{last} {background}"

    @property
    def related(self) -> str:
        """Two shapes and which is where, in words that captions of training have

        Raises ValueError for more shapes, which such captions never name.
        """
        if len(self.placed.shapes) != 2:
            raise ValueError(f"shapes must be two, got {len(self.placed.shapes)}; use the prompt")
        (x, y, _), (a, b, _) = self.placed.spots
        aside = "left of" if x < a else "right of"
        relation = aside if abs(x - a) > abs(y - b) else ("above" if y < b else "below")
        first, second = map(named, self.placed.shapes)
        return f"{first} {relation} {second} on a {self.placed.background} background"

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each shape's box in pixels"""
        return [
            (round(x - r - GROWN), round(y - r - GROWN), round(x + r + GROWN), round(y + r + GROWN))
            for x, y, r in self.placed.spots
        ]

    @property
    def regions(self) -> list[tuple[str, Image.Image]]:
        """The prompt and the mask of each shape, as a pipeline takes them"""
        masks = []
        for box in self.boxes:
            mask = Image.new("L", self.placed.size)
            ImageDraw.Draw(mask).rectangle(box, fill=255)
            masks.append(mask)
        return list(zip(map(named, self.placed.shapes), masks))


def named(shape: Shape) -> str:
    return f"{'an' if shape.colour == 'orange' else 'a'} {shape.colour} {shape.name}"


def crowded(seed: int | str, count: int | None = None) -> Crowded:
    """A random square poster of 2 to 4 shapes in different colours; count None: of any number"""
    rng = random.Random(f"crowded {seed}")
    count = count or rng.choice((2, 3, 4))
    while True:
        colours = rng.sample(list(COLOURS), count)
        shapes = tuple(Shape(rng.choice(list(SHAPES)), colour) for colour in colours)
        if not any((shape.colour, shape.name) in UNSEEN_PAIRS for shape in shapes):
            break
    return Crowded(Placed(rng.choice(list(BACKGROUNDS)), shapes, _spots(rng, count)))


def _spots(rng: random.Random, count: int) -> tuple[tuple[float, float, float], ...]:
    """Places that do not touch; tips reach 1.2 of a radius from the middle"""
    while True:
        spots: list[tuple[float, float, float]] = []
        for _ in range(200):
            radius = rng.uniform(*RADIUS)
            edge = 1.2 * radius + FREE
            x, y = rng.uniform(edge, SIDE - edge), rng.uniform(edge, SIDE - edge)
            if all(math.dist((x, y), (a, b)) > 1.2 * (radius + r) + FREE for a, b, r in spots):
                spots.append((x, y, radius))
            if len(spots) == count:
                return tuple(spots)


def moved(poster: Crowded, seed: int | str) -> Crowded:
    """The same shapes in other places"""
    spots = _spots(random.Random(f"moved {seed}"), len(poster.placed.shapes))
    return Crowded(replace(poster.placed, spots=spots))


def judge(poster: Crowded, picture: np.ndarray | Image.Image) -> dict[str, int | bool]:
    """(H, W, 3) uint8 RGB, or a picture -> bound, right, count, of

    right: shapes that are anywhere, in their colour; bound: shapes that are in their own box;
    count: whether as many are there as were asked for; of: how many were.
    """
    reading, shapes = read(picture), poster.placed.shapes
    seen = [(region.name, region.colour) for region in reading.regions]
    wanted = [(shape.name, shape.colour) for shape in shapes]
    bound = sum(
        any(
            math.dist((region.x, region.y), spot[:2]) <= NEAR
            and (region.name, region.colour) == (shape.name, shape.colour)
            for region in reading.regions
        )
        for shape, spot in zip(shapes, poster.placed.spots)
    )
    right = sum(each in seen for each in wanted)
    return {"bound": bound, "right": right, "count": len(seen) == len(shapes), "of": len(shapes)}
