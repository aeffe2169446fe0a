"""One region becomes a shape with a name, a colour, a place and a size."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .draw import draw_shape
from .letters import largest_around
from .regions import interior, nearer
from .scene import BACKGROUNDS, COLOURS, SHAPES, SIDE, Shape
from .writing import SUPER

TINY = 300  # pixels; a star of fewer is a blot once its tips are smoothed away
OFF_COLOUR = 40  # largest distance in RGB from a palette colour that still bears its name
LIKENESS = 0.8  # least overlap (intersection over union) of a region with a shape's template
_FRAME = 40  # pixels along the side of a normalised mask
_REACH = 2.2  # side of that frame in units of the root of the region's area


@dataclass(frozen=True)
class Region:
    """One thing found on the background; name or colour is None where it resembles no known one."""

    name: str | None  # a key of SHAPES
    colour: str | None  # a key of COLOURS
    x: float  # centre and radius in pixels, in the sense of draw.py
    y: float
    radius: float
    likeness: float  # overlap with the template of `name`, or of the nearest shape


def sharpened(mask, picture, smooth, paper):
    """A tiny region with its tips, which the median filter has cut; others as they are."""
    if mask.sum() >= TINY:
        return mask
    colour = np.median(smooth[mask], axis=0)
    return nearer(picture, colour, paper) & largest_around(largest_around(mask))


def recognise(mask, smooth) -> Region:
    masks, names = _templates()
    frame, x, y, area = _normalise(mask)
    shared = np.minimum(masks, frame).sum(1)
    overlap = shared / (masks.sum(1) + (_FRAME / _REACH) ** 2 - shared)
    best = overlap.argmax()
    name, likeness = names[best], float(overlap[best])
    unit_area, unit_y = _unit(name)
    radius = (area / unit_area) ** 0.5
    inside = mask & interior(mask)
    colour = np.median(smooth[inside if inside.any() else mask], axis=0)
    return Region(
        name if likeness >= LIKENESS else None,
        nearest(colour, {key: rgb for key, (_, rgb) in COLOURS.items()}),
        x, y - unit_y * radius, radius, likeness,
    )  # fmt: skip


def nearest(colour, palette) -> str | None:
    distance = {key: np.linalg.norm(colour - np.float32(rgb)) for key, rgb in palette.items()}
    name = min(distance, key=distance.get)
    return name if distance[name] <= OFF_COLOUR else None


def _normalise(mask, zoom=1.0, dx=0.0, dy=0.0):
    """A mask in a frame of its own size and place -> (1600,) in 0..1, centre x, y, area."""
    rows, columns = np.nonzero(mask)
    area, x, y = len(rows), columns.mean() + 0.5, rows.mean() + 0.5
    step = _REACH * area**0.5 / _FRAME * zoom
    corner_x, corner_y = x - step * (_FRAME / 2 + dx), y - step * (_FRAME / 2 + dy)
    frame = Image.fromarray(mask.astype(np.uint8) * 255).transform(
        (_FRAME, _FRAME),
        Image.Transform.AFFINE,
        (step, 0, corner_x, 0, step, corner_y),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(frame).reshape(-1).astype(np.float32) / 255, x, y, area


def _stencil(name):
    """The mask of a shape of radius 30 px in the middle of a picture, as draw.py draws it."""
    canvas = Image.new("RGB", (SIDE * SUPER,) * 2, BACKGROUNDS["white"][1])
    draw_shape(ImageDraw.Draw(canvas), Shape(name, "black"), SIDE / 2, SIDE / 2, 30, "white")
    return np.asarray(canvas.reduce(SUPER))[:, :, 0] < 128


@functools.cache
def _templates():
    """Every shape a little larger, smaller and shifted -> (N, 1600) masks and their N names"""
    masks, names = [], []
    for name in SHAPES:
        for zoom in (0.95, 1.0, 1.05):
            for dx in (-1.5, 0, 1.5):
                for dy in (-1.5, 0, 1.5):
                    masks.append(_normalise(_stencil(name), zoom, dx, dy)[0])
                    names.append(name)
    return np.stack(masks), names


@functools.cache
def _unit(name) -> tuple[float, float]:
    """Area of a shape of radius 1, and how far its centre of mass lies below its centre."""
    _, _, y, area = _normalise(_stencil(name))
    return area / 30**2, (y - SIDE / 2) / 30
