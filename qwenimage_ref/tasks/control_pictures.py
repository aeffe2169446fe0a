"""Pictures for control networks: a photograph's edges, sharp or soft, and the order of layers.

Networks tell their kinds apart by the pixels alone: white lines on black, or grey areas that are
lighter where they are nearer.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..extras import demand_extra
from ..pictures import input_picture

SIGMA = 1.4  # pixels: the blur before edges are looked for
THRESHOLDS = (
    0.1,
    0.2,
)  # levels of a gradient: lines begin above the second, and go on above the first
FARTHEST = 32  # grey level of the lowest layer; the topmost one is white


def canny(
    picture: Image.Image, sigma: float = SIGMA, thresholds: Sequence[float] = THRESHOLDS
) -> Image.Image:
    """Thin white lines where brightness changes; for networks for canny edges

    Raises MissingLibraryError without scikit-image, ValueError for numbers that cannot be.
    """
    demand_extra("control")
    from skimage.feature import canny as edges

    low, high = thresholds
    if not (sigma > 0 and 0 < low <= high <= 1):
        raise ValueError(
            "sigma must be above 0 and thresholds in order from 0 to 1, got "
            f"{sigma} and {low}, {high}; {SIGMA} and {THRESHOLDS[0]}, {THRESHOLDS[1]} are usual"
        )
    return _in_rgb(edges(_grey(picture), sigma, low, high) * 255.0)


def soft_edges(picture: Image.Image, sigma: float = SIGMA) -> Image.Image:
    """The steepness of brightness, the steepest place white; for networks for soft edges

    Raises MissingLibraryError without scikit-image, ValueError for a sigma that cannot be.
    """
    demand_extra("control")
    from skimage.filters import gaussian, scharr

    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}; {SIGMA} is usual")
    steepness = scharr(gaussian(_grey(picture), sigma))
    return _in_rgb(255 * steepness / max(steepness.max(), 1e-6))


def depth_order(layers: list[Image.Image]) -> Image.Image:
    """Transparent layers, the lowest first -> what lies higher is lighter; for networks for depth

    `tasks.layers.decompose` returns such layers. Where none is opaque it is black. Raises
    ValueError for fewer than two, and for layers of several sizes.
    """
    layers = [input_picture(layer, "a layer", alpha=True) for layer in layers]
    if len(layers) < 2:
        raise ValueError(
            f"depth must be given two layers or more, the lowest first, got {len(layers)}; "
            "`qwenimage layers` takes a picture apart"
        )
    if len({layer.size for layer in layers}) > 1:
        sizes = ", ".join("{}x{}".format(*layer.size) for layer in layers)
        raise ValueError(f"layers must be of one size, got {sizes}; crop them alike")
    result = Image.new("L", layers[0].size)
    for level, layer in zip(np.linspace(FARTHEST, 255, len(layers)), layers):
        result.paste(round(level), mask=layer.getchannel("A"))
    return result.convert("RGB")


def _grey(picture: Image.Image) -> np.ndarray:
    """(H, W) from 0 to 1"""
    return np.asarray(input_picture(picture).convert("L")) / 255


def _in_rgb(grey: np.ndarray) -> Image.Image:
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
