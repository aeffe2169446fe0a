"""What one picture is like, as numbers: pure functions of its pixels.

Pictures are (H, W, 3) uint8 RGB. The numbers do not depend on a picture's size, as far as that is
possible, so that one limit serves a whole collection.
"""

import functools
import math

import numpy as np
from PIL import Image
from scipy import ndimage

EXTREME = 0.5  # per cent of the pixels: the darkest and the lightest are so many
STEEPEST = 0.1  # per cent of the pixels: those at the sharpest edges
HASHED = 32  # pixels along a side of the small picture that is hashed
FREQUENCIES = 8  # lowest ones along a side, which make the hash
FAINT = 0.1  # share of the largest coefficient; below it a compression changes signs
CELLS = 16  # along a side of the thumbnail that a duplicate must share


def gray(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) float32 luma from 0 to 255, by the weights of BT.601"""
    return picture.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])


def clarity(picture: np.ndarray) -> float:
    """Steepness of the sharpest edges, 0 to 1: the step between neighbours over the whole range

    A step in one pixel has 1, one that is spread over n pixels about 1/n. The usual variance of the
    Laplacian depends on how many edges there are, and calls a small sharp shape blurred.
    """
    steepest = 0.0
    for channel in picture.astype(np.float32).transpose(2, 0, 1):
        span = np.ptp(channel)
        if span < 16:  # nothing is drawn in this channel
            continue
        across, down = np.abs(np.diff(channel, axis=1)), np.abs(np.diff(channel, axis=0))
        steps = np.concatenate([across.ravel(), down.ravel()])
        count = max(8, int(steps.size * STEEPEST / 100))
        steepest = max(steepest, float(np.partition(steps, -count)[-count:].mean() / span))
    return steepest


def darkest_and_lightest(picture: np.ndarray) -> tuple[float, float]:
    """Luma, 0 to 255, that half a per cent of the pixels are below, and half a per cent above"""
    low, high = np.percentile(gray(picture), (EXTREME, 100 - EXTREME))
    return float(low), float(high)


def saturation(picture: np.ndarray) -> float:
    """Mean over the pixels of the distance between largest and smallest channel, 0 to 1"""
    return float(np.ptp(picture.astype(np.float32), axis=2).mean() / 255)


def entropy(picture: np.ndarray) -> float:
    """Bits a pixel that its luma needs on average, 0 for a single colour, at most 8"""
    counts = np.bincount(gray(picture).astype(np.uint8).ravel(), minlength=256)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def texture(picture: np.ndarray) -> float:
    """Mean distance of a pixel's luma from the median of its neighbourhood: grain and noise"""
    levels = gray(picture)
    return float(np.abs(levels - ndimage.median_filter(levels, 3)).mean())


@functools.cache
def _cosines() -> np.ndarray:
    """(FREQUENCIES, HASHED): the lowest rows of the discrete cosine transform"""
    place = (np.arange(HASHED) + 0.5) * math.pi / HASHED
    return np.cos(np.arange(FREQUENCIES)[:, None] * place).astype(np.float32)


def perceptual_hash(picture: np.ndarray) -> int:
    """64 bits that a picture keeps when it is scaled, compressed or a little lighter

    Bit i says whether the i-th of the lowest 8 x 8 frequencies of its luma is clearly positive; the
    mean, which any change of brightness moves, counts as zero.
    """
    small = Image.fromarray(picture).convert("L").resize((HASHED, HASHED), Image.Resampling.BOX)
    basis = _cosines()
    waves = basis @ np.asarray(small, np.float32) @ basis.T
    waves[0, 0] = 0
    bits = waves.ravel() > FAINT * np.abs(waves).max()
    return int.from_bytes(np.packbits(bits).tobytes())


def thumbnail(picture: np.ndarray) -> bytes:
    """16 x 16 RGB pixels, row by row: what is compared where two hashes agree"""
    return Image.fromarray(picture).resize((CELLS, CELLS), Image.Resampling.BOX).tobytes()
