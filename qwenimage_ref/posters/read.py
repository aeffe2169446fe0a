"""The way back: a picture becomes a scene, and a scene a painter was asked for becomes a score.

A region smaller than `SPECK` pixels is ignored. Everything larger counts: what is no letter is a
shape, known or not. `None` and "?" mark what could not be read; guesses would flatter the painter.
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .draw import draw_shape, free_rows, radii, small_places
from .letters import STRAY, read_word
from .scene import BACKGROUNDS, COLOURS, RELATIONS, SEVERAL, SHAPES, SIDE, SIZES, SMALL, Scene, Shape
from .writing import SUPER

SPECK = 100  # pixels; the smallest shape ever drawn, one of four stars, has about 160
TINY = 300  # pixels; a star of fewer is a blot once its tips are smoothed away
OFF_COLOUR = 40  # largest distance in RGB from a palette colour that still bears its name
LIKENESS = 0.8  # least overlap (intersection over union) of a region with a shape's template
BAND = 38  # rows from the lower edge; ink that starts below it is text: every shape's top is above
DARK = 80  # paper of a lower mean has light ink: navy has 43, gray, the next, 150
_CORE = 12  # pixels of one colour, away from its edge, that make it a region's colour
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


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `scene` has the regions left to right, or top to bottom if stacked."""

    scene: Scene  # careful: background, layout, names and colours may be None, any number of shapes
    regions: tuple[Region, ...]  # of scene.shapes, in the same order


def read(picture: np.ndarray | Image.Image) -> Reading:
    """(H, W, 3) uint8 RGB, or a picture of one of the seven sizes -> Reading

    Its word is "" where no ink is in the bottom band; "?" stands for ink that is no letter.
    """
    if isinstance(picture, Image.Image):
        picture = np.asarray(picture.convert("RGB"))
    size = picture.shape[1::-1]
    if size not in (*SIZES, SMALL) or picture.shape[2:] != (3,) or picture.dtype != np.uint8:
        raise ValueError(
            f"the picture is {picture.shape} {picture.dtype}, not (H, W, 3) uint8 of width x height "
            + ", ".join(f"{width}x{height}" for width, height in SIZES)
        )
    smooth = Image.fromarray(picture).filter(
        ImageFilter.MedianFilter(3)
    )  # calms noise, keeps edges
    smooth = np.asarray(smooth).astype(np.float32)
    paper = np.median(np.concatenate([smooth[:3], smooth[-3:]]).reshape(-1, 3), axis=0)
    ink = np.float32((250, 250, 250) if paper.mean() < DARK else (20, 20, 20))
    shapes, text, blank = _regions(smooth, paper, ink)
    shapes = [_sharpened(mask, picture, smooth, paper) for mask in shapes]
    regions = [_recognise(mask, smooth) for mask in shapes]
    layout, regions = _layout(regions, size, bool(text.any()))
    word = read_word(picture, paper, ink, text) if text.any() else ""
    named = tuple(Shape(region.name, region.colour) for region in regions)
    if len(named) > 1 and set(named) == {named[0]}:
        layout = SEVERAL
    background = _background(smooth, paper, blank)
    return Reading(Scene(background, named, layout, word, size), tuple(regions))


def score(scene: Scene, picture: np.ndarray | Image.Image) -> dict[str, bool | int]:
    """What of a scene a picture shows: background, count, shapes, colours, layout, scene, word.

    Each is True or False; `scene` is all of them but the word.
    Which painted shape stands for which asked one is settled in the painter's favour; with the
    wrong count, no statement about the shapes holds.
    `characters` of `characters_asked` are right, each in its place.
    """
    reading = read(picture)
    seen = reading.scene
    result = {"background": seen.background == scene.background}
    result["count"] = len(seen.shapes) == len(scene.shapes)
    result |= {"shapes": False, "colours": False, "layout": False}
    if result["count"]:
        layout = seen.layout
        if scene.layout in RELATIONS:  # two equal shapes have a relation, too
            layout, _ = _relation(list(reading.regions))
        orders = [(seen.shapes, scene.layout in (SEVERAL, layout))]
        if len(seen.shapes) == 2 and scene.layout != SEVERAL:  # told from the other side, the relation is never the asked one
            orders.append((seen.shapes[::-1], False))
        result |= max((_compare(scene.shapes, *order) for order in orders), key=_favour)
        result.pop("whole")
    result["scene"] = all(result.values())
    result["word"] = seen.word == scene.word
    result["characters"] = sum(a == b for a, b in zip(seen.word, scene.word))
    result["characters_asked"] = len(scene.word)
    return result


def _compare(asked, seen, layout: bool) -> dict:
    return {
        "shapes": all(a.name == b.name for a, b in zip(asked, seen)),
        "colours": all(a.colour == b.colour for a, b in zip(asked, seen)),
        "layout": layout,
        "whole": sum(a == b for a, b in zip(asked, seen)),  # shapes right in name and colour
    }


def _favour(result: dict) -> tuple:
    return result["whole"], result["layout"], result["shapes"] + result["colours"]


# --- regions


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """(h, w) bool -> (h, w) int numbers from 1, 0 where False, and their count; corners connect."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]  # one past the run's last pixel
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist()))
    root = list(range(len(runs)))

    def find(i):
        while root[i] != i:
            root[i] = i = root[root[i]]
        return i

    above = 0  # the first run of the row above that can still touch
    for i, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start):
            above += 1
        j = above
        while runs[j][0] == row - 1 and runs[j][1] <= end:
            root[find(j)] = find(i)
            j += 1
    roots, numbers = np.unique([find(i) for i in range(len(runs))], return_inverse=True)
    out = np.zeros(mask.shape, np.int32)
    out[mask] = np.repeat(numbers + 1, ends - starts)
    return out, len(roots)


def _regions(smooth, paper, ink):
    """Masks (H, W) of each shape, then of the text, then of the empty paper."""
    palette = np.float32([paper, ink, *(rgb for _, rgb in COLOURS.values())])
    label = _nearest_of(smooth, palette)
    if paper.mean() >= DARK:
        label[label == list(COLOURS).index("black") + 2] = 1  # a black shape is as good as ink
    core = label * _interior(label)  # edges are blends: only the inside tells the colour
    numbers, count = components(label > 0)
    shapes, text = [], np.zeros(label.shape, bool)
    for number in range(1, count + 1):
        whole = numbers == number
        if whole.sum() < STRAY:
            continue
        sizes = np.bincount(core[whole], minlength=len(palette))
        colours = [c for c in range(1, len(palette)) if sizes[c] >= _CORE]
        for colour, part in _split(whole, core, colours):
            if colour < 2 and np.nonzero(part.any(1))[0][0] >= len(part) - BAND:
                text |= part  # thin strokes may be all edge and have no colour of their own
                continue
            part &= _nearer(smooth, palette[colour], paper) if colour else part
            if part.sum() >= SPECK:
                shapes.append(part)
    return shapes, text, label == 0


def _nearest_of(pixels, palette):
    """(..., 3), (N, 3) -> (...) number of the nearest colour; |p|^2 is the same for all of them"""
    return ((palette**2).sum(1) - 2 * pixels @ palette.T).argmin(-1)


def _nearer(smooth, colour, paper):
    """Where a blend of paper and a colour is more colour than paper; other colours count, too."""
    return (smooth - paper) @ (colour - paper) > ((colour - paper) ** 2).sum() / 2


def _interior(label):
    """True where all nine pixels around have the same label."""
    image = Image.fromarray(label.astype(np.uint8))
    low, high = image.filter(ImageFilter.MinFilter(3)), image.filter(ImageFilter.MaxFilter(3))
    return np.asarray(low) == np.asarray(high)


def _split(whole, core, colours):
    """Colour and mask of each part of a connected region: cores grow until they meet."""
    if len(colours) < 2:
        return [(colours[0] if colours else 0, whole)]
    owner = np.where(whole & np.isin(core, colours), core, 0)
    for _ in range(12):  # pixels; no tip of a shape is longer
        grown = np.asarray(Image.fromarray(owner.astype(np.uint8)).filter(ImageFilter.MaxFilter(3)))
        owner = np.where(whole & (owner == 0), grown, owner)
    return [(colour, owner == colour) for colour in colours]


# --- one region


def _sharpened(mask, picture, smooth, paper):
    """A tiny region with its tips, which the median filter has cut; others as they are."""
    if mask.sum() >= TINY:
        return mask
    colour = np.median(smooth[mask], axis=0)
    grown = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(5))
    return _nearer(picture, colour, paper) & (np.asarray(grown) > 0)


def _recognise(mask, smooth) -> Region:
    masks, names = _templates()
    frame, x, y, area = _normalise(mask)
    shared = np.minimum(masks, frame).sum(1)
    overlap = shared / (masks.sum(1) + (_FRAME / _REACH) ** 2 - shared)
    best = overlap.argmax()
    name, likeness = names[best], float(overlap[best])
    unit_area, unit_y = _unit(name)
    radius = (area / unit_area) ** 0.5
    inside = mask & _interior(mask.astype(np.uint8))
    colour = np.median(smooth[inside if inside.any() else mask], axis=0)
    return Region(
        name if likeness >= LIKENESS else None,
        _nearest(colour, {key: rgb for key, (_, rgb) in COLOURS.items()}),
        x, y - unit_y * radius, radius, likeness,
    )  # fmt: skip


def _nearest(colour, palette) -> str | None:
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


# --- the whole


def _layout(regions: list[Region], size, word: bool) -> tuple[str | None, list[Region]]:
    """The layout, None if it is none of a caption's, and the regions in its order."""
    if len(regions) == 1:
        return _place(regions[0], size, word), regions
    if len(regions) == 2:
        return _relation(regions)
    return None, sorted(regions, key=lambda region: region.x)


def _relation(regions: list[Region]) -> tuple[str | None, list[Region]]:
    """Of two regions: the relation of the first to the second, and both in that order."""
    first, second = sorted(regions, key=lambda region: region.x)
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dy) > dx and dy < 0:
        first, second = second, first
    if max(dx, abs(dy)) < 2 * min(dx, abs(dy)):
        return None, [first, second]  # diagonal: neither beside nor above
    return ("left of" if dx > abs(dy) else "above"), [first, second]


def _place(region: Region, size, word: bool) -> str | None:
    """The place of a single shape; in a square poster radii are 17 or 35, places 34 px apart."""
    width, height = size
    middle = (free_rows(height, True) + free_rows(height, False)) / 4
    if abs(region.y - middle) > 26:
        return None
    large, small = radii(width, free_rows(height, word))
    if 12 / 17 <= region.radius / small <= 23 / 17:
        places = small_places(width)
        return min(places, key=lambda place: abs(places[place] - region.x))
    if 28 / 35 <= region.radius / large <= 44 / 35 and abs(region.x - width / 2) <= 16:
        return "large"
    return None


def _background(smooth, paper, blank) -> str | None:
    """The name of the paper's colour if it covers the paper from edge to edge."""
    palette = np.float32([rgb for _, rgb in BACKGROUNDS.values()])
    nearest = _nearest_of(smooth[blank], palette)
    name = _nearest(paper, {key: rgb for key, (_, rgb) in BACKGROUNDS.items()})
    if name is None or (nearest == list(BACKGROUNDS).index(name)).mean() < 0.9:
        return None
    return name
