"""The way back: a picture becomes a scene, and a scene a painter was asked for becomes a score.

`None` and "?" mark what could not be read; guesses would flatter the painter.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .draw import free_rows, radii, small_places
from .letters import read_word
from .recognise import Region, nearest, recognise, sharpened
from .regions import DARK, nearest_of, regions
from .scene import BACKGROUNDS, RELATIONS, SEVERAL, SIZES, SMALL, Scene, Shape


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `scene` has the regions left to right, or top to bottom if stacked."""

    scene: Scene  # careful: background, layout, names and colours may be None, any number of shapes
    regions: tuple[Region, ...]  # one for each of scene.shapes, in its order


def read(picture: np.ndarray | Image.Image) -> Reading:
    """(H, W, 3) uint8 RGB, or a picture of one of the seven sizes -> Reading

    Its word is "" where no ink is in the bottom band; "?" stands for ink that is no letter.
    """
    if isinstance(picture, Image.Image):
        picture = np.asarray(picture.convert("RGB"))
    size = picture.shape[1::-1]
    if size not in (*SIZES, SMALL) or picture.shape[2:] != (3,) or picture.dtype != np.uint8:
        raise ValueError(
            f"the picture must be (H, W, 3) uint8, of "
            f"{', '.join(f'{width}x{height}' for width, height in SIZES)} pixels, "
            f"got {picture.shape} {picture.dtype}; resize it, or convert it to RGB"
        )
    smooth, paper, ink = _papered(picture)
    shapes, text, blank = regions(smooth, paper, ink)
    shapes = [sharpened(mask, picture, smooth, paper) for mask in shapes]
    seen = [recognise(mask, smooth) for mask in shapes]
    layout, seen = _layout(seen, size, bool(text.any()))
    word = read_word(picture, paper, ink, text) if text.any() else ""
    named = tuple(Shape(region.name, region.colour) for region in seen)
    if len(named) > 1 and set(named) == {named[0]}:
        layout = SEVERAL
    background = _background(smooth, paper, blank)
    return Reading(Scene(background, named, layout, word, size), tuple(seen))


def _papered(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 -> the same smooth in float32, the paper's colour, and that of the ink"""
    calm = Image.fromarray(picture).filter(ImageFilter.MedianFilter(3))  # keeps edges
    smooth = np.asarray(calm).astype(np.float32)
    paper = np.median(np.concatenate([smooth[:3], smooth[-3:]]).reshape(-1, 3), axis=0)
    return smooth, paper, np.float32((250, 250, 250) if paper.mean() < DARK else (20, 20, 20))


def silhouette(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (H, W), true where a shape is, whatever it is; a word is none"""
    shapes, _, _ = regions(*_papered(picture))
    return np.any([np.zeros(picture.shape[:2], bool), *shapes], axis=0)


def score(scene: Scene, picture: np.ndarray | Image.Image) -> dict[str, bool | int | str]:
    """What of a scene a picture shows: background, count, shapes, colours, layout, scene, word.

    Each is True or False; `scene` is all of them but the word.
    Which painted shape stands for which asked one is settled in the painter's favour; with the
    wrong count, no statement about the shapes holds.
    `characters` of `characters_asked` are right, each in its place; `reading` is the word as read.
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
        # the relation seen from the other side is never the one that was asked for
        if len(seen.shapes) == 2 and scene.layout != SEVERAL:
            orders.append((seen.shapes[::-1], False))
        result |= max((_compare(scene.shapes, *order) for order in orders), key=_favour)
        result.pop("whole")
    result["scene"] = all(result.values())
    result["word"] = seen.word == scene.word
    result["reading"] = seen.word
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


# --- the whole


def _layout(seen: list[Region], size, word: bool) -> tuple[str | None, list[Region]]:
    """The layout, None if it is none of a caption's, and the regions in its order."""
    if len(seen) == 1:
        return _place(seen[0], size, word), seen
    if len(seen) == 2:
        return _relation(seen)
    return None, sorted(seen, key=lambda region: region.x)


def _relation(pair: list[Region]) -> tuple[str | None, list[Region]]:
    """Of two regions: the relation of the first to the second, and both in that order."""
    first, second = sorted(pair, key=lambda region: region.x)
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
    closest = nearest_of(smooth[blank], palette)
    name = nearest(paper, {key: rgb for key, (_, rgb) in BACKGROUNDS.items()})
    if name is None or (closest == list(BACKGROUNDS).index(name)).mean() < 0.9:
        return None
    return name
