"""Styles of posters: tinted paper and stripes over any poster, by numbers that can be read back.

    styled = 0.7 poster + 38 + tint + rows cos(2 pi y / 16) + columns cos(2 pi x / 16)

Everything is linear, so that least squares on the poster's edge, which shows nothing but paper,
returns the five numbers of the style from the pixels alone.
"""

import math
import random
from dataclasses import dataclass

import numpy as np

from .scene import BACKGROUNDS

KEPT, RAISED = 0.7, 38.0  # bounds that keep every styled pixel within 0 to 255
MOST_TINT, MOST_STRIPES = 16.0, 12.0  # grey levels
PERIOD = 16  # pixels from one stripe to the next, two latents
EDGE = 3  # pixels along each side in which no poster shows anything but its paper


@dataclass(frozen=True)
class Style:
    """Five numbers in grey levels."""

    tint: tuple[float, float, float]  # added to red, green and blue, -16 to 16
    rows: float  # height of horizontal stripes, 0 to 12
    columns: float  # height of vertical ones

    @property
    def numbers(self) -> np.ndarray:
        """(5,) float64"""
        return np.array([*self.tint, self.rows, self.columns])

    @property
    def unseen(self) -> bool:
        """Whether it is of the kind that no training shows: reddish with strong rows."""
        return self.tint[0] > MOST_TINT / 4 and self.rows > MOST_STRIPES / 2


def sample_style(seed: int | str, unseen: bool | None = False) -> Style:
    """A random style. unseen: False: as in training; True: never trained; None: either."""
    rng = random.Random(f"style {seed}")
    while True:
        tint = tuple(rng.uniform(-MOST_TINT, MOST_TINT) for _ in range(3))
        style = Style(tint, rng.uniform(0, MOST_STRIPES), rng.uniform(0, MOST_STRIPES))
        if unseen is None or style.unseen == unseen:
            return style


def apply(style: Style, picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same poster in a style, (H, W, 3) uint8"""
    height, width, _ = picture.shape
    rows, columns = _waves(height, width)
    striped = style.rows * rows + style.columns * columns
    styled = KEPT * picture + RAISED + np.array(style.tint) + striped[..., None]
    return np.clip(np.round(styled), 0, 255).astype(np.uint8)


def undo(style: Style, picture) -> np.ndarray:
    """A styled poster, (H, W, 3) uint8 or PIL -> the plain one, (H, W, 3) uint8"""
    pixels = np.asarray(picture, dtype=np.float64)
    rows, columns = _waves(*pixels.shape[:2])
    striped = style.rows * rows + style.columns * columns
    plain = (pixels - RAISED - np.array(style.tint) - striped[..., None]) / KEPT
    return np.clip(np.round(plain), 0, 255).astype(np.uint8)


def read_style(picture, background: str) -> Style:
    """A poster (H, W, 3) uint8 or PIL, and the key of its paper in BACKGROUNDS -> its style"""
    pixels = np.asarray(picture, dtype=np.float64)
    height, width, _ = pixels.shape
    inside = np.zeros((height, width), dtype=bool)
    inside[EDGE:-EDGE, EDGE:-EDGE] = True
    rows, columns = (wave[~inside] for wave in _waves(height, width))
    plain = KEPT * np.array(BACKGROUNDS[background][1]) + RAISED
    rest = pixels[~inside] - plain  # (P, 3)
    # unknowns: three tints, one height of rows, one of columns; an equation a pixel and channel
    known = np.zeros((len(rest), 3, 5))
    known[:, range(3), range(3)] = 1
    known[..., 3], known[..., 4] = rows[:, None], columns[:, None]
    solution, *_ = np.linalg.lstsq(known.reshape(-1, 5), rest.reshape(-1), rcond=None)
    return Style(tuple(solution[:3].tolist()), float(solution[3]), float(solution[4]))


def apart(a: Style, b: Style) -> float:
    """Root mean square difference of the five numbers, in grey levels"""
    return float(np.sqrt(np.mean((a.numbers - b.numbers) ** 2)))


def _waves(height: int, width: int):
    """Horizontal and vertical stripes of height 1, (H, W) each"""
    y, x = np.mgrid[:height, :width]
    return np.cos(2 * math.pi * y / PERIOD), np.cos(2 * math.pi * x / PERIOD)
