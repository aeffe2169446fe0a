"""Lines of text under pictures: DejaVu's letters, and the posters' own Chinese characters.

The font that matplotlib carries has no Chinese. The characters of the pocket world are drawn from
the table of strokes that its posters are drawn from.
"""

import functools
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from ..posters.strokes import CELL, CHARACTERS, draw_character

FINE = 8  # a character is drawn this many times larger than its cell, then scaled down


def width_of(text: str, font: ImageFont.FreeTypeFont) -> float:
    """Pixels from one end of a line to the other."""
    return sum(_advance(run, font) for run in _runs(text))


def wrap(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Words in lines of at most `width` pixels; a longer word has a line of its own.

    Raises ValueError for a letter that can be drawn neither by the font nor from strokes.
    """
    odd = [letter for letter in text if _is_wide(letter) and letter not in CHARACTERS]
    if odd:
        raise ValueError(
            f"captions must be in the font's letters or the posters' characters, got {odd[0]!r}; "
            f"print this one instead"
        )
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def write(canvas: Image.Image, x: float, y: float, text: str, ink, font) -> None:
    """Write a line whose upper left corner is at `x`, `y` in pixels."""
    pen, side = ImageDraw.Draw(canvas), font.size
    for run in _runs(text):
        if run in CHARACTERS:
            strokes = _glyph(run, side)
            canvas.paste(Image.new("RGB", strokes.size, ink), (round(x), round(y) + 2), strokes)
        else:
            pen.text((x, y), run, ink, font)
        x += _advance(run, font)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _runs(text: str) -> list[str]:
    """Characters one by one, everything between them in one piece."""
    runs = []
    for letter in text:
        if letter in CHARACTERS or not runs or runs[-1] in CHARACTERS:
            runs.append(letter)
        else:
            runs[-1] += letter
    return runs


def _advance(run: str, font) -> float:
    return font.size + 1 if run in CHARACTERS else font.getlength(run)


@functools.cache
def _glyph(character: str, side: int) -> Image.Image:
    """A character as a mask of `side` x `side` pixels."""
    canvas = Image.new("L", (CELL * FINE, CELL * FINE))
    draw_character(ImageDraw.Draw(canvas), character, 0, 0, 255, FINE)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)
