"""What a drawing shows, read off its pixels: words about a picture say nothing of what is on it."""

import io

import numpy as np
from PIL import Image

from qwenimage_ref.course.show import PALETTE


def pixels(shown) -> np.ndarray:
    """A shown picture -> (H, W, 3) integers"""
    return np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB")).astype(int)


def where(shown, role: str, opacity: float = 1) -> np.ndarray:
    """(H, W): which pixels have a colour of the palette, to 12, painted on white at an opacity"""
    colour = np.array([int(PALETTE[role][i : i + 2], 16) for i in (1, 3, 5)])
    colour = opacity * colour + (1 - opacity) * 255
    return np.abs(pixels(shown) - colour).max(-1) <= 12


def painted(shown, role: str, opacity: float = 1) -> int:
    """How many pixels have that colour."""
    return int(where(shown, role, opacity).sum())


def spots(shown, role: str, opacity: float = 1) -> list[float]:
    """Left to right, the middle columns of the areas that have that colour, in pixels"""
    columns = np.nonzero(where(shown, role, opacity).any(0))[0]
    runs = np.split(columns, np.nonzero(np.diff(columns) > 1)[0] + 1)
    return [float(run.mean()) for run in runs if len(run)]
