"""Does a picture obey an instruction, and is everything else still what it was?"""

import math

import numpy as np
from PIL import Image

from .draw import Placed
from .edits import BACKGROUND, WORD, Edit
from .read import read
from .recognise import Region

NEAR = 8  # pixels that a shape may stand beside its place
LARGER = 1.25  # times that its radius may differ


def judge(edit: Edit, picture: np.ndarray | Image.Image) -> dict[str, bool]:
    """(H, W, 3) uint8 RGB, or a picture -> obeyed, untouched, both

    obeyed: what the instruction is about is as it asks, and what it takes away is gone. untouched:
    all other parts are those of the wanted poster, and nothing has come. Raises ValueError for a
    picture of another size.
    """
    if isinstance(picture, Image.Image):
        picture = np.asarray(picture.convert("RGB"))
    width, height = edit.target.size
    if picture.shape[:2] != (height, width):
        raise ValueError(
            f"the picture must be {width}x{height} pixels as its poster is, "
            f"got {picture.shape[1]}x{picture.shape[0]}"
        )
    reading = read(picture)
    right = _parts(edit.target, reading.regions)
    right[BACKGROUND] = reading.scene.background == edit.target.background
    right[WORD] = reading.scene.word == edit.target.word
    surplus = [region for region in reading.regions if not _at_any(region, edit.target.spots)]
    remains = [region for region in surplus if _at_any(region, edit.left)]
    obeyed = all(right[part] for part in edit.changed) and not remains
    others = right.keys() - edit.changed
    untouched = all(right[part] for part in others) and len(surplus) == len(remains)
    return {"obeyed": obeyed, "untouched": untouched, "both": obeyed and untouched}


def _parts(target: Placed, regions: tuple[Region, ...]) -> dict[str | int, bool]:
    """For each shape of a poster whether the region at its place is this shape"""
    right: dict[str | int, bool] = {}
    for i, (shape, (x, y, radius)) in enumerate(zip(target.shapes, target.spots)):
        nearest = min(regions, key=lambda each: math.dist((each.x, each.y), (x, y)), default=None)
        right[i] = (
            nearest is not None
            and _at_any(nearest, [(x, y)])
            and 1 / LARGER <= nearest.radius / radius <= LARGER
            and (nearest.name, nearest.colour) == (shape.name, shape.colour)
        )
    return right


def _at_any(region: Region, spots) -> bool:
    return any(math.dist((region.x, region.y), spot[:2]) <= NEAR for spot in spots)
