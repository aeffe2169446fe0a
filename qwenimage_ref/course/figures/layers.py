"""Layers where they can be seen: on a checkerboard, which shows through."""

import numpy as np
from PIL import Image

SQUARE = 8  # pixels of the checkerboard
LIGHT, GREY = 250, 205  # levels of its squares


def on_checkers(layer: np.ndarray) -> Image.Image:
    """(H, W, 4) uint8, straight alpha -> a picture in RGB"""
    rows, cols = np.indices(layer.shape[:2]) // SQUARE
    board = np.where((rows + cols) % 2, GREY, LIGHT)[..., None]
    alpha = layer[..., 3:] / 255
    pixels = np.rint(layer[..., :3] * alpha + board * (1 - alpha))
    return Image.fromarray(pixels.astype(np.uint8))
