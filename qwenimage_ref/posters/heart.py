"""A shape that the pocket model has never seen, and a reader that finds it: the heart.

Every picture has one heart and no word. The scenes that are asked for after training have colours
on papers that no training picture has, so that learning pictures by heart would not paint them.
"""

import functools
import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .draw import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIDE,
    SUPER,
    Scene,
    Shape,
    caption,
    draw_shape,
)
from .regions import SPECK, components

NAME = "heart"
LIKENESS = 0.8  # least overlap (intersection over union) of what is found with a heart
_FRAME = 40  # pixels along a side of a mask that is compared
_REACH = 2.2  # side of that frame in units of the root of the mask's area


def outline(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a heart about as large as the other shapes of this radius."""
    corners = []
    for i in range(80):
        t = 2 * math.pi * i / 80
        down = -(13 * math.cos(t) - 6 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
        corners.append((x + radius * math.sin(t) ** 3 * 1.05, y + radius * (down + 2) / 15))
    return corners


def draw(scene: Scene, seed: int = 0) -> np.ndarray:
    """Scene of one heart -> (128, 128, 3) uint8 RGB; the seed moves and scales it a little"""
    rng = np.random.default_rng(seed)
    (shape,) = scene.shapes
    x = {"small left": 30, "small centre": 64, "small right": 98, "large": 64}[scene.layout]
    radius = (35 if scene.layout == "large" else 20) * rng.uniform(0.94, 1.06)
    canvas = Image.new("RGB", (SIDE * SUPER,) * 2, BACKGROUNDS[scene.background][1])
    corners = outline(x + rng.uniform(-4, 4), 64 + rng.uniform(-4, 4), radius)
    ink = COLOURS[shape.colour][1]
    ImageDraw.Draw(canvas).polygon([(a * SUPER, b * SUPER) for a, b in corners], ink)
    return np.asarray(canvas.reduce(SUPER))


@functools.cache
def scenes() -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    """-> 32 scenes to train on, each colour once at every place, and ten of other combinations"""
    rng, train, others = random.Random(10), [], []
    for colour in COLOURS:
        papers = [paper for paper in BACKGROUNDS if (colour, paper) != ("black", "navy")]
        rng.shuffle(papers)
        examples = [
            Scene(paper, (Shape(NAME, colour),), place)
            for paper, place in zip(papers, (*PLACES, *rng.sample(PLACES, 2)))
        ]
        train += examples[: len(PLACES)]
        others += examples[len(PLACES) :]
    return tuple(train), tuple(rng.sample(others, 10))


def prompt(scene: Scene) -> str:
    """The plain English caption."""
    return caption(scene)


def recognised(picture: np.ndarray | Image.Image) -> str | None:
    """What the largest thing in the picture is: a heart, a key of SHAPES, or None"""
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    smooth = np.asarray(picture.convert("RGB").filter(ImageFilter.MedianFilter(3)), np.float32)
    edge = np.concatenate([smooth[:3].reshape(-1, 3), smooth[-3:].reshape(-1, 3)])
    distance = np.linalg.norm(smooth - np.median(edge, axis=0), axis=-1)
    numbers, count = components(distance > 0.5 * np.percentile(distance, 98))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    if not count or sizes.max() < SPECK:
        return None
    mask = _normalise(numbers == sizes.argmax() + 1)
    masks, names = _templates()
    shared = np.minimum(masks, mask).sum(1)
    overlap = shared / np.maximum(masks, mask).sum(1)
    best = int(overlap.argmax())
    return names[best] if overlap[best] >= LIKENESS else None


def _normalise(mask) -> np.ndarray:
    """A mask in a frame of its own size and place -> (1600,) in 0..1"""
    rows, columns = np.nonzero(mask)
    step = _REACH * len(rows) ** 0.5 / _FRAME
    left, top = (at.mean() + 0.5 - step * _FRAME / 2 for at in (columns, rows))
    frame = Image.fromarray(mask.astype(np.uint8) * 255).transform(
        (_FRAME, _FRAME),
        Image.Transform.AFFINE,
        (step, 0, left, 0, step, top),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(frame).reshape(-1).astype(np.float32) / 255


@functools.cache
def _templates() -> tuple[np.ndarray, list[str]]:
    masks, names = [], [*SHAPES, NAME]
    for name in names:
        canvas = Image.new("RGB", (SIDE * SUPER,) * 2, BACKGROUNDS["white"][1])
        pen = ImageDraw.Draw(canvas)
        if name == NAME:
            pen.polygon([(a * SUPER, b * SUPER) for a, b in outline(64, 64, 30)], "black")
        else:
            draw_shape(pen, Shape(name, "black"), 64, 64, 30, "white")
        masks.append(_normalise(np.asarray(canvas.reduce(SUPER))[:, :, 0] < 128))
    return np.stack(masks), names
