"""The posters world: a scene becomes a picture and a caption, in English or Chinese."""

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .captions import caption, loosened, reworded
from .scene import (
    BACKGROUNDS,
    COLOURS,
    EVENLY,
    PLACES,
    RELATIONS,
    SEVERAL,
    SHAPES,
    SIDE,
    Mixture,
    Scene,
    Shape,
    sample,
    sample_scene,
)
from .writing import LETTERS, SUPER, font, write

__all__ = [  # the world in one import, for the course
    "BACKGROUNDS",
    "COLOURS",
    "LETTERS",
    "PLACES",
    "RELATIONS",
    "SHAPES",
    "SIDE",
    "Mixture",
    "Placed",
    "Scene",
    "Shape",
    "caption",
    "draw",
    "draw_shape",
    "font",
    "loosened",
    "outline",
    "paint",
    "place",
    "poster",
    "reworded",
    "sample",
    "sample_scene",
    "second_poster",
]

WORD_ROWS = 32  # pixels at the bottom that belong to the word
ANCHOR = 21  # pixels from the lower edge to the middle of the word
SMALLEST = 12  # radius in pixels of one of several shapes; below it a star is a speck


@dataclass(frozen=True)
class Placed:
    """A scene with the pixels of everything in it: all that a poster shows."""

    background: str  # a key of BACKGROUNDS
    shapes: tuple[Shape, ...]
    spots: tuple[tuple[float, float, float], ...]  # centre and radius of each shape in pixels
    word: str = ""
    word_spot: tuple[float, float] = (0.0, 0.0)  # the word's centre
    size: tuple[int, int] = (SIDE, SIDE)  # width and height in pixels


def draw(scene: Scene, seed: int = 0) -> np.ndarray:
    """Scene -> (H, W, 3) uint8 RGB. The seed moves and scales the shapes by a few per cent."""
    return paint(place(scene, seed))


def place(scene: Scene, seed: int | str = 0) -> Placed:
    """Where everything of a scene stands, moved and scaled by a few per cent"""
    rng, spots = random.Random(seed), []
    width, height = scene.size
    places, jitter = _several(scene, rng) if scene.layout == SEVERAL else _places(scene)
    for x, y, radius in places[: len(scene.shapes)]:
        x, y = x + rng.uniform(-jitter, jitter), y + rng.uniform(-jitter, jitter)
        spots.append((x, y, radius * rng.uniform(0.94, 1.06)))
    spot = (0.0, 0.0)
    if scene.word:
        spot = width / 2 + rng.uniform(-2, 2), height - ANCHOR + rng.uniform(-2, 2)
    return Placed(scene.background, scene.shapes, tuple(spots), scene.word, spot, scene.size)


def paint(placed: Placed) -> np.ndarray:
    """-> (H, W, 3) uint8 RGB"""
    width, height = placed.size
    canvas = Image.new("RGB", (width * SUPER, height * SUPER), BACKGROUNDS[placed.background][1])
    pen = ImageDraw.Draw(canvas)
    for shape, spot in zip(placed.shapes, placed.spots):
        draw_shape(pen, shape, *spot, placed.background)
    if placed.word:
        ink = (250, 250, 250) if placed.background == "navy" else (20, 20, 20)
        write(pen, placed.word, *placed.word_spot, ink)
    return np.asarray(canvas.reduce(SUPER))


def free_rows(height: int, word: bool) -> int:
    """Rows for the shapes: those above the word, and in low posters a few less."""
    low = height < 112
    return height - WORD_ROWS - 4 * low if word else height - 8 * low


def radii(width: int, rows: int) -> tuple[float, float]:
    """Radius in pixels of a large and of a small single shape."""
    return min(35, 35 * rows / 96), min(17, 17 * rows / 80, width / 6)


def small_places(width: int) -> dict[str, float]:
    """Column of each small shape's centre, in pixels."""
    columns = {"small left": 30, "small centre": 64, "small right": 98}
    return {place: x * width / SIDE for place, x in columns.items()}


def _places(scene: Scene) -> tuple[list[tuple[float, float, float]], float]:
    """Centre and radius of each of one or two shapes in pixels, and by how much they may move."""
    width, height = scene.size
    rows = free_rows(height, bool(scene.word))
    middle = rows / 2
    jitter = 4 * min(1, width / 96, rows / 96) ** 2
    if scene.layout == "left of":
        radius = min(23, 23 * width / SIDE)
        return [(x * width / SIDE, middle, radius) for x in (34, 94)], jitter
    if scene.layout == "above" and scene.word and height < SIDE:
        return [(width / 2, rows / 4, rows / 5.2), (width / 2, rows * 3 / 4, rows / 5.2)], 1.0
    if scene.layout == "above" and scene.word:
        return [(width / 2, y * rows / 96, min(23, 16 * rows / 96)) for y in (23, 69)], jitter
    if scene.layout == "above":
        return [(width / 2, y * rows / SIDE, min(23, 23 * rows / SIDE)) for y in (33, 95)], jitter
    large, small = radii(width, rows)
    if scene.layout == "large":
        return [(width / 2, middle, large)], jitter
    return [(small_places(width)[scene.layout], middle, small)], jitter


def _several(scene: Scene, rng) -> tuple[list[tuple[float, float, float]], float]:
    """The same of equal shapes: in a row, a column or a grid, whichever has room for them."""
    count, (width, height) = len(scene.shapes), scene.size
    # careful: without a word, no shape may begin so low that it could be one
    rows = height - (WORD_ROWS + 5 if scene.word else 24)
    middle = rows / 2 if scene.word else height / 2
    fitting = []
    for across, down in {(count, 1), (1, count), (2, 2) if count > 2 else (count, 1)}:
        cell_x, cell_y = width / across, rows / down
        # a star's tips reach 1.17 of a radius up and 1.11 sideways, and 4 pixels stay between two
        radius = min(20, (0.92 * cell_x - 4) / 2.22, (0.92 * cell_y - 4) / 2.33)
        if radius >= SMALLEST:
            fitting.append((across, down, radius))
    across, down, radius = rng.choice(sorted(fitting))
    cell_x, cell_y = width / across, rows / down
    places = []
    for i in range(count):
        row, column = divmod(i, across)
        in_row = min(across, count - row * across)  # the third of three stands in the middle
        x = width / 2 + (column - (in_row - 1) / 2) * cell_x
        places.append((x, middle + (row - (down - 1) / 2) * cell_y, radius))
    return places, 0.04 * min(cell_x, cell_y)


def outline(name: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a shape in pixels; circle and ring are drawn by their box instead."""
    if name == "square":
        r = radius * 0.88
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if name == "diamond":
        return [(x, y - 1.1 * radius), (x + 0.8 * radius, y), (x, y + 1.1 * radius),
                (x - 0.8 * radius, y)]  # fmt: skip
    if name == "triangle":
        return [(x, y - radius), (x + radius, y + 0.8 * radius), (x - radius, y + 0.8 * radius)]
    tips = 5  # star: long and short radius in turn, first tip upwards
    corners = []
    for i in range(2 * tips):
        angle, r = math.pi * i / tips, 1.1 * radius * (1 if i % 2 == 0 else 0.42)
        corners.append((x + r * math.sin(angle), y - r * math.cos(angle)))
    return corners


def draw_shape(pen, shape: Shape, x: float, y: float, radius: float, background: str) -> None:
    ink = COLOURS[shape.colour][1]
    s = SUPER
    if shape.name in ("circle", "ring"):
        pen.ellipse([(x - radius) * s, (y - radius) * s, (x + radius) * s, (y + radius) * s], ink)
        if shape.name == "ring":
            hole = 0.6 * radius
            box = [(x - hole) * s, (y - hole) * s, (x + hole) * s, (y + hole) * s]
            pen.ellipse(box, BACKGROUNDS[background][1])
    else:
        pen.polygon([(a * s, b * s) for a, b in outline(shape.name, x, y, radius)], ink)


def poster(seed: int, unseen: bool | None = False, word_share: float = 0.5):
    """seed -> scene, picture (128, 128, 3) uint8, caption, as the first edition has them"""
    scene = sample_scene(seed, unseen, word_share)
    return scene, draw(scene, seed), reworded(scene, f"{seed} 0")


def second_poster(seed: int, mixture: Mixture = EVENLY, unseen: bool | None = False, size=None):
    """seed -> scene, picture (H, W, 3) uint8, caption, as the second edition has them"""
    scene = sample(seed, mixture, unseen, size)
    worded = f"{seed} 0"
    return scene, draw(scene, seed), loosened(reworded(scene, worded, edition=2), worded)
