"""What notebooks show: source that cannot drift, tables, and pictures with words for every eye.

Every picture is a PNG of at most 256 colours, so that a notebook with its outputs stays small.
"""

import inspect
import io
import textwrap
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageFont

from ..posters.read import Reading
from ..posters.scene import SEVERAL
from ..repository import ROOT
from . import labels

DPI = 100  # resolution of drawings; more makes notebooks heavy and no line clearer
SHORTEST_ALT = 10  # characters; less describes no picture

# Okabe and Ito's colours: distinct for people who see red and green alike, and in print
PALETTE = {
    "ink": "#222222",
    "text": "#0072B2",  # blue: what comes from the prompt
    "image": "#E69F00",  # orange: what becomes the picture
    "joint": "#009E73",  # green: where both meet
    "noise": "#999999",
    "wrong": "#D55E00",  # vermilion
    "accent": "#CC79A7",
    "light": "#56B4E9",
    "paper": "#FFFFFF",
}


@dataclass(frozen=True, repr=False)
class Markdown:
    """Text that Jupyter sets as markdown."""

    data: str

    def _repr_markdown_(self) -> str:
        return self.data

    def __repr__(self) -> str:
        return self.data


@dataclass(frozen=True, repr=False)
class Shown:
    """A picture, as PNG bytes, that says its description where it cannot be seen."""

    data: bytes
    alt: str

    def _repr_png_(self) -> tuple[str, dict]:
        return b64encode(self.data).decode(), {"alt": self.alt}

    def __repr__(self) -> str:
        return self.alt


def pocket_folder() -> Path:
    """The pocket weights of this repository, wherever the notebook runs."""
    return data_file("pocket")


def data_file(name: str) -> Path:
    """A file or folder in `data/`. Raises FileNotFoundError if it is not there."""
    path = ROOT / "data" / name
    if not path.exists():
        raise FileNotFoundError(f"data/{name} is missing next to the package; clone the whole repo")
    return path


def source(*things) -> Markdown:
    """The package's own lines for functions or classes, as they are right now."""
    code = "\n\n".join(textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in things)
    return Markdown(f"```python\n{code}\n```")


def table(header: list[str], rows: list[list]) -> Markdown:
    """A table; every row has as many cells as the header."""
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row must have {len(header)} cells as the header has, got {row}")
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def grid(pictures, captions, alt: str, columns: int = 4, scale: int = 2) -> Shown:
    """Pictures, each under its caption, `scale` times as large, with words for `alt`.

    Pictures of several sizes stand in cells as wide and as high as the largest.
    Raises ValueError for a caption with letters that cannot be drawn.
    """
    if len(pictures) != len(captions):
        raise ValueError(f"captions must be {len(pictures)}, one a picture, got {len(captions)}")
    width, height = (max(sides) * scale for sides in zip(*(each.size for each in pictures)))
    wrapped = [labels.wrap(text, width, _font()) for text in captions]
    line, gap = 17, 8
    rows = [wrapped[i : i + columns] for i in range(0, len(wrapped), columns)]
    tops = [line * max(map(len, row)) + 6 for row in rows]  # room for the captions of each row
    columns = min(columns, len(pictures))
    size = (columns * (width + gap) - gap, sum(tops) + len(rows) * (height + gap) - gap)
    canvas = Image.new("RGB", size, PALETTE["paper"])
    for i, (picture, lines) in enumerate(zip(pictures, wrapped)):
        row, column = divmod(i, columns)
        x, y = column * (width + gap), sum(tops[: row + 1]) + row * (height + gap)
        first = y - 4 - line * len(lines)  # the last lines of a row's captions are at one height
        for n, text in enumerate(lines):
            labels.write(canvas, x, first + n * line, text, PALETTE["ink"], _font())
        own = tuple(side * scale for side in picture.size)
        canvas.paste(picture.convert("RGB").resize(own, Image.Resampling.BICUBIC), (x, y))
    return shown(canvas, alt)


def figure(fig, alt: str) -> Shown:
    """A matplotlib figure, drawn once and closed."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor=PALETTE["paper"])
    plt.close(fig)
    return shown(Image.open(buffer).convert("RGB"), alt)


def shown(picture: Image.Image, alt: str) -> Shown:
    """A picture with its description, for people who do not see it."""
    if len(alt) < SHORTEST_ALT:
        raise ValueError(f"alt must describe the picture, got {alt!r}; say what it shows")
    return Shown(png(picture), alt)


def png(picture: Image.Image) -> bytes:
    """A picture -> PNG bytes with at most 256 colours, not dithered."""
    buffer = io.BytesIO()
    few = picture.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean difference of two pictures of one size, in steps of 1/255."""
    a, b = (np.asarray(picture.convert("RGB"), dtype=np.float32) for picture in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"pictures must be of one size, got {a.shape} and {b.shape}")
    return float(np.abs(a - b).mean())


def describe(reading: Reading) -> str:
    """What was read in a picture, in words."""
    scene = reading.scene
    names = [f"{shape.colour or 'odd'} {shape.name or 'blot'}" for shape in scene.shapes]
    if scene.layout == SEVERAL:
        words = f"{len(names)} {names[0]}s"
    elif len(names) == 2:
        words = f" {scene.layout or 'somewhere near'} ".join(names)
    else:
        words = " and ".join(names) or "nothing"
        words = f"{scene.layout} {words}" if scene.layout else words
    text = f', "{scene.word}"' if scene.word else ""
    return f"{words} on {scene.background or 'odd'}{text}"


@cache
def _font() -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), 13)
