"""How a word is written on a poster: Latin letters in a font, Chinese characters from strokes."""

import functools
import importlib.util
from pathlib import Path

from PIL import ImageDraw, ImageFont

from ..extras import demand_extra
from .strokes import ADVANCE, CELL, CHARACTERS, draw_character

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
SUPER = 4  # everything is drawn this many times larger, then averaged down
SIZE = 26  # pixels, the font's
EDGE = 4  # pixels that stay free on either side of a word


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans Bold, which matplotlib carries."""
    demand_extra("notebooks")
    file = (
        Path(importlib.util.find_spec("matplotlib").origin).parent
        / "mpl-data"
        / "fonts"
        / "ttf"
        / "DejaVuSans-Bold.ttf"
    )
    return ImageFont.truetype(str(file), size)


def is_chinese(word: str) -> bool:
    return word[:1] in CHARACTERS if word else False


def width(word: str) -> float:
    """Pixels from one end of the word to the other."""
    if is_chinese(word):
        return ADVANCE * len(word) - (ADVANCE - CELL)
    return font(SIZE * SUPER).getlength(word) / SUPER


@functools.cache
def widest() -> float:
    """Pixels that no letter or character is wider than; in a word none takes more"""
    return max(ADVANCE, *map(width, LETTERS))


def write(pen: ImageDraw.ImageDraw, word: str, x: float, y: float, ink) -> None:
    """Write a word around the point `x`, `y` in pixels, on a canvas `SUPER` times larger."""
    if not is_chinese(word):
        pen.text((x * SUPER, y * SUPER), word, ink, font(SIZE * SUPER), anchor="mm")
        return
    # whole pixels of the canvas, or the same stroke would have one more here than there
    left, top = (round(z * SUPER) / SUPER for z in (x - width(word) / 2, y - CELL / 2))
    for i, character in enumerate(word):
        draw_character(pen, character, left + i * ADVANCE, top, ink, SUPER)
