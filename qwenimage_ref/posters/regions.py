"""A picture falls into its things: the masks of the shapes, of the text and of the empty paper.

A region smaller than `SPECK` pixels is ignored. Everything larger counts: what is no letter is a
shape, known or not.
"""

import numpy as np
from scipy import ndimage

from .letters import STRAY, largest_around
from .scene import COLOURS

SPECK = 100  # pixels; the smallest shape ever drawn, one of four stars, has about 160
BAND = 38  # rows from the lower edge; ink that starts below it is text: every shape's top is above
DARK = 80  # paper of a lower mean has light ink: navy has 43, gray, the next, 150
_CORE = 12  # pixels of one colour, away from its edge, that make it a region's colour


def components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """(h, w) bool -> (h, w) int numbers from 1, 0 where False, and their count; corners connect."""
    return ndimage.label(mask, structure=np.ones((3, 3)))


def regions(smooth, paper, ink):
    """Masks (H, W) of each shape, then of the text, then of the empty paper."""
    palette = np.float32([paper, ink, *(rgb for _, rgb in COLOURS.values())])
    label = nearest_of(smooth, palette)
    if paper.mean() >= DARK:
        label[label == list(COLOURS).index("black") + 2] = 1  # a black shape is as good as ink
    core = label * interior(label)  # edges are blends: only the inside tells the colour
    numbers, count = components(label > 0)
    shapes, text = [], np.zeros(label.shape, bool)
    areas = np.bincount(numbers.ravel(), minlength=count + 1)
    for number in range(1, count + 1):
        if areas[number] < STRAY:
            continue
        whole = numbers == number
        sizes = np.bincount(core[whole], minlength=len(palette))
        colours = [c for c in range(1, len(palette)) if sizes[c] >= _CORE]
        for colour, part in _split(whole, core, colours):
            if colour < 2 and np.nonzero(part.any(1))[0][0] >= len(part) - BAND:
                text |= part  # thin strokes may be all edge and have no colour of their own
                continue
            part &= nearer(smooth, palette[colour], paper) if colour else part
            if part.sum() >= SPECK:
                shapes.append(part)
    return shapes, text, label == 0


def nearest_of(pixels, palette):
    """(..., 3), (N, 3) -> (...) number of the nearest colour; |p|^2 is the same for all of them"""
    return ((palette**2).sum(1) - 2 * pixels @ palette.T).argmin(-1)


def nearer(smooth, colour, paper):
    """Where a blend of paper and a colour is more colour than paper; other colours count, too."""
    return (smooth - paper) @ (colour - paper) > ((colour - paper) ** 2).sum() / 2


def interior(label):
    """True where all nine pixels around have the same label."""
    top = int(label.max())
    return top - largest_around((top - label).astype(np.uint8)) == largest_around(label)


def _split(whole, core, colours):
    """Colour and mask of each part of a connected region: cores grow until they meet."""
    if len(colours) < 2:
        return [(colours[0] if colours else 0, whole)]
    owner = np.where(whole & np.isin(core, colours), core, 0)
    for _ in range(12):  # pixels; no tip of a shape is longer
        owner = np.where(whole & (owner == 0), largest_around(owner), owner)
    return [(colour, owner == colour) for colour in colours]
