"""A poster as what it is made of: transparent layers that lie on each other, from the paper up.

Every layer has one colour all over, and its shape in alpha alone. Two shapes may overlap: the lower
one is then a whole shape in its layer, as nobody sees it in the poster.
"""

import random
from dataclasses import dataclass, replace

import numpy as np

from .captions import reworded
from .draw import Placed, place
from .recognise import nearest
from .scene import BACKGROUNDS, COLOURS, EVENLY, SEVERAL, Mixture, sample
from .understanding import coverage, coverage_of, moved_together

OVERLAPPING = 0.5  # share of the pairs of shapes of which one lies partly on the other
INKS = {"dark": (20, 20, 20), "light": (250, 250, 250)}


@dataclass(frozen=True)
class Layered:
    """A poster that is made of layers, and what it says in words."""

    placed: Placed
    prompt: str

    @property
    def count(self) -> int:
        """Number of layers: the paper, each shape, the word if there is one"""
        return 1 + len(self.placed.shapes) + bool(self.placed.word)

    @property
    def layers(self) -> list[np.ndarray]:
        """(H, W, 4) uint8 each, straight alpha, the paper first"""
        placed, (width, height) = self.placed, self.placed.size
        inks = [BACKGROUNDS[placed.background][1], *(COLOURS[s.colour][1] for s in placed.shapes)]
        alphas = [np.ones((height, width))]
        alphas += [coverage(placed, i) for i in range(len(placed.shapes))]
        if placed.word:
            inks.append(INKS["light" if placed.background == "navy" else "dark"])
            alphas.append(_word_coverage(placed))
        return [_layer(ink, alpha) for ink, alpha in zip(inks, alphas)]

    @property
    def picture(self) -> np.ndarray:
        """(H, W, 4) uint8, opaque: the layers on each other"""
        return composed(self.layers)


def layered(
    seed: int | str, count: int | None = None, mixture: Mixture = EVENLY, size=None
) -> Layered:
    """A random poster of so many layers, 2 to 4; None: of any number"""
    rng = random.Random(f"layers {seed}")
    while True:
        scene = sample(f"{seed} {rng.random()}", mixture, size=size)
        if scene.layout == SEVERAL:
            continue
        placed = place(scene, f"{seed} {rng.random()}")
        if len(placed.shapes) == 2 and rng.random() < OVERLAPPING:
            placed = moved_together(placed, rng)
        poster = Layered(placed, reworded(scene, f"{seed}", edition=2))
        if count in (None, poster.count):
            return poster


def composed(layers: list[np.ndarray]) -> np.ndarray:
    """Layers (H, W, 4) uint8 from the lowest up -> (H, W, 4) uint8, opaque: over black"""
    below = np.zeros((*layers[0].shape[:2], 3))
    for layer in layers:
        alpha = layer[..., 3:] / 255
        below = below * (1 - alpha) + layer[..., :3] * alpha
    return np.dstack([np.rint(below), np.full(below.shape[:2], 255)]).astype(np.uint8)


def _layer(ink: tuple[int, int, int], alpha: np.ndarray) -> np.ndarray:
    flat = np.broadcast_to(np.uint8(ink), (*alpha.shape, 3))
    return np.dstack([flat, np.rint(255 * alpha).astype(np.uint8)])


def _word_coverage(placed: Placed) -> np.ndarray:
    """(H, W) from 0 to 1: how much of each pixel the word covers"""
    alone = replace(placed, background="white", shapes=(), spots=())
    return coverage_of(alone)


# -- judging ---------------------------------------------------------------------------------------


def judge(poster: Layered, layers: list[np.ndarray]) -> dict:
    """Painted layers (H, W, 4) uint8 -> iou, colours, psnr

    iou: of each layer's alpha with the true one, above one half, the mean; colours: whether every
    layer's mean colour where it is opaque is the one named; psnr: of the layers on each other
    against the poster, in dB. Raises ValueError for another number of layers.
    """
    wanted = poster.layers
    if len(layers) != len(wanted):
        raise ValueError(f"layers must be {len(wanted)}, got {len(layers)}")
    overlaps, right = [], []
    for mine, true in zip(layers, wanted):
        inside, given = true[..., 3] > 127, mine[..., 3] > 127
        overlaps.append((inside & given).sum() / max(1, (inside | given).sum()))
        right.append(_same_colour(mine[..., :3][given], tuple(true[0, 0, :3])))
    error = np.square(composed(layers)[..., :3] / 255.0 - poster.picture[..., :3] / 255.0).mean()
    return {
        "iou": float(np.mean(overlaps)),
        "colours": all(right),
        "psnr": float(-10 * np.log10(max(error, 1e-10))),
    }


def _same_colour(pixels: np.ndarray, ink: tuple) -> bool:
    """Whether pixels (N, 3) are on average nearest to this colour of the world"""
    every = {**BACKGROUNDS, **COLOURS}
    known = {str(rgb): rgb for _, rgb in every.values()} | {str(rgb): rgb for rgb in INKS.values()}
    if not len(pixels):
        return False
    name = nearest(pixels.mean(axis=0), known)
    return name is not None and known[name] == tuple(int(x) for x in ink)
