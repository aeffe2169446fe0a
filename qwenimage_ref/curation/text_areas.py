"""Characters on a picture, and marks laid over it, by connected areas of ink.

For flat designs such as the posters: everything that is not of the background's colour is ink. On
photographs a text detector takes the place of this file; its numbers are the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .picture import gray

INK = 40  # levels from the background; fainter is no ink
CHARACTER = (3, 28)  # pixels high, the least and the most
WIDEST = 40  # pixels; a wider area is no character
FAINT = (7, 48)  # levels from the background, of a watermark
CELL = 128 * 128  # pixels; densities are counted in this area


@dataclass(frozen=True)
class Text:
    """What looks like characters."""

    count: int
    density: float  # characters in an area of 128 x 128 pixels
    height: float  # pixels, the median; 0 without any


def background(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (3,) the colour of most pixels, each rounded to 8 levels"""
    coarse = (picture >> 3).astype(np.uint32)
    codes = (coarse[..., 0] << 10 | coarse[..., 1] << 5 | coarse[..., 2]).ravel()
    most = np.bincount(codes).argmax()
    return np.median(picture.reshape(-1, 3)[codes == most], axis=0)


def text(picture: np.ndarray) -> Text:
    """(H, W, 3) uint8 -> what looks like characters on it"""
    paper = gray(background(picture).reshape(1, 1, 3))[0, 0]
    areas, count = ndimage.label(np.abs(gray(picture) - paper) > INK, np.ones((3, 3)))
    boxes = ndimage.find_objects(areas, count)
    sizes = ((rows.stop - rows.start, columns.stop - columns.start) for rows, columns in boxes)
    low, high = CHARACTER
    heights = [height for height, width in sizes if low <= height <= high and width <= WIDEST]
    density = len(heights) * CELL / picture[..., 0].size
    return Text(len(heights), density, float(np.median(heights)) if heights else 0.0)


def watermark(picture: np.ndarray) -> float:
    """Share of the pixels where something faint lies over the background, 0 to 1

    Edges of shapes are faint, too, but a pixel wide: an opening removes them.
    """
    distance = np.abs(picture.astype(np.float32) - background(picture)).max(axis=2)
    faint = (distance >= FAINT[0]) & (distance <= FAINT[1])
    return float(ndimage.binary_opening(faint, np.ones((2, 2))).mean())
