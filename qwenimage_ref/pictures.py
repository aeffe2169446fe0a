"""Small helpers for pictures as arrays and files."""

import numpy as np
from PIL import Image

from .repository import DATA


def write_picture(picture: np.ndarray, name: str) -> None:
    """(H, W, 3) uint8 -> data/pictures/NAME, a PNG with a palette of 256 colours

    The palette keeps flat pictures small without a visible difference.
    """
    file = DATA / "pictures" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.relative_to(DATA.parent))
