"""Questions about a poster whose answer is a picture: understanding, asked for as editing.

The report teaches segmentation, depth and edges with the same model that edits: the instruction
names the answer, and the model paints it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..pictures import psnr, to_input
from .draw import Placed, paint, place
from .scene import COLOURS, EVENLY, SEVERAL, SHAPES, Mixture, Shape, sample

FAR, CLOSE = 110, 250  # gray of the shape behind and of the one in front
OVERLAP = (0.9, 1.3)  # distance of two overlapping shapes, in radii
_WORDINGS = {
    "en": {
        "mask": ("show the mask of the {}", "segment the {}"),
        "depth": ("show the depth of the picture", "estimate the depth"),
        "edges": ("show the edges of the picture", "detect the edges"),
        "mirror": ("show the picture in a mirror", "mirror the picture"),
    },
    "zh": {
        "mask": ("画出{}的遮罩", "分割{}"),
        "depth": ("画出深度图",),
        "edges": ("画出边缘图",),
        "mirror": ("画出镜像",),
    },
}


@dataclass(frozen=True)
class Question:
    """A poster, what is asked of it, and the picture that answers."""

    kind: str  # a key of KINDS
    prompt: str
    poster: Placed

    @property
    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8"""
        return paint(self.poster)

    @property
    def wanted(self) -> np.ndarray:
        """(H, W, 3) uint8"""
        return KINDS[self.kind](self.poster)


def question(
    seed: int | str, kinds=None, mixture: Mixture = EVENLY, language: str | None = None
) -> Question:
    """A random question; kinds: of KINDS, None: any. A mask is always of the first shape."""
    rng = random.Random(f"question {seed}")
    kind = rng.choice(kinds or tuple(KINDS))
    one = _overlapping if kind == "depth" else _aside if kind == "mirror" else _plain
    poster = one(seed, mixture, rng)
    if kind in ("mirror", "depth"):  # no answer has letters the wrong way round
        poster = replace(poster, word="")
    language = language or ("zh" if rng.random() < 1 / 3 else "en")
    first = poster.shapes[0]
    named = f"{first.colour} {first.name}"
    if language == "zh":
        named = COLOURS[first.colour][0] + SHAPES[first.name]
    return Question(kind, rng.choice(_WORDINGS[language][kind]).format(named), poster)


def _plain(seed, mixture: Mixture, rng: random.Random) -> Placed:
    while True:
        scene = sample(f"{seed} {rng.random()}", mixture)
        # careful: the mask of one of two equal shapes could not be asked for
        if scene.layout != SEVERAL and len({*scene.shapes}) == len(scene.shapes):
            return place(scene, f"{seed} {rng.random()}")


def _aside(seed, mixture: Mixture, rng: random.Random) -> Placed:
    """A poster that a mirror changes"""
    while True:
        placed = _plain(seed, mixture, rng)
        width = placed.size[0]
        if any(abs(x - width / 2) > width / 8 for x, _, _ in placed.spots):
            return placed


def _overlapping(seed, mixture: Mixture, rng: random.Random) -> Placed:
    """Two shapes of which the second lies partly over the first"""
    while True:
        scene = sample(f"{seed} {rng.random()}", mixture)
        # a ring in front would show the paper, not the shape behind it
        if scene.layout in ("left of", "above") and scene.shapes[1].name != "ring":
            break
    placed = moved_together(place(scene, f"{seed} {rng.random()}"), rng)
    # the shape in front is as often on the left as on the right
    return replace(placed, spots=placed.spots[:: rng.choice((1, -1))])


def moved_together(placed: Placed, rng: random.Random) -> Placed:
    """Two shapes so near that the second lies partly over the first"""
    (x, y, radius), (x2, y2, radius2) = placed.spots
    apart = max(abs(x2 - x), abs(y2 - y))
    share = rng.uniform(*OVERLAP) * (radius + radius2) / 2 / apart
    middle = np.array([x + x2, y + y2]) / 2
    half = np.array([x2 - x, y2 - y]) * share / 2
    spots = ((*(middle - half), radius), (*(middle + half), radius2))
    return replace(placed, spots=spots)


def coverage(poster: Placed, i: int) -> np.ndarray:
    """(H, W) from 0 to 1: how much of each pixel shape `i` covers, were it alone"""
    alone = replace(
        poster, background="white", word="", spots=(poster.spots[i],),
        shapes=(Shape(poster.shapes[i].name, "black"),),
    )  # fmt: skip
    return coverage_of(alone)


def coverage_of(dark: Placed) -> np.ndarray:
    """(H, W) from 0 to 1: how much of each pixel is covered by what is black on white"""
    gray = paint(dark).astype(np.float32)[..., 0]
    return (gray.max() - gray) / np.ptp(gray)


def _shown(gray: np.ndarray) -> np.ndarray:
    """(H, W) from 0 to 255 -> (H, W, 3) uint8"""
    return np.repeat(np.rint(gray).astype(np.uint8)[..., None], 3, axis=2)


def mask(poster: Placed) -> np.ndarray:
    """White where the first shape is"""
    return _shown(255 * coverage(poster, 0))


def depth(poster: Placed) -> np.ndarray:
    """The nearer, the lighter: the shape in front, the one behind, the paper"""
    gray = np.zeros(poster.size[::-1], np.float32)
    for i, level in enumerate((FAR, CLOSE)):
        cover = coverage(poster, i)
        gray = gray * (1 - cover) + level * cover
    return _shown(gray)


def edges(poster: Placed) -> np.ndarray:
    """White contours of the shapes, two pixels wide"""
    lines = np.zeros(poster.size[::-1], bool)
    for i in range(len(poster.shapes)):
        inside = coverage(poster, i) > 0.5
        lines |= ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    return _shown(255.0 * lines)


def mirror(poster: Placed) -> np.ndarray:
    """The poster as a mirror shows it"""
    return paint(poster)[:, ::-1]


KINDS: dict[str, Callable[[Placed], np.ndarray]] = {
    "mask": mask,
    "depth": depth,
    "edges": edges,
    "mirror": mirror,
}


# -- judging ---------------------------------------------------------------------------------------


def answer_score(asked: Question, picture: np.ndarray) -> float:
    """(H, W, 3) uint8 -> for a mask the IoU, for depth 1.0 or 0.0, else the PSNR in dB

    Depth is right if the visible parts of both shapes are in the right order and apart from each
    other and from the paper.
    """
    if asked.kind == "mask":
        wanted, given = asked.wanted[..., 0] > 127, picture.mean(axis=2) > 127
        return float((wanted & given).sum() / max(1, (wanted | given).sum()))
    if asked.kind == "depth":
        front = coverage(asked.poster, 1) > 0.9
        behind = (coverage(asked.poster, 0) > 0.9) & (coverage(asked.poster, 1) < 0.1)
        paper = (coverage(asked.poster, 0) < 0.1) & (coverage(asked.poster, 1) < 0.1)
        gray = picture.mean(axis=2)
        levels = [float(np.median(gray[part])) for part in (paper, behind, front)]
        least = FAR / 3  # a third of the step between two levels
        return float(levels[0] + least < levels[1] and levels[1] + least < levels[2])
    return psnr(*(to_input([each]) for each in (picture, asked.wanted))).item()
