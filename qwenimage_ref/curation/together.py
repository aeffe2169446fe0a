"""What no picture alone decides: which of them are duplicates, and how many of each kind stay."""

import hashlib
from collections.abc import Iterable

import numpy as np

from .picture import CELLS

BANDS, BITS = 4, 64  # two hashes that differ in fewer bits than there are bands share a band
APART = 32  # levels by which a cell of two thumbnails may differ in a duplicate


class Duplicates:
    """Pictures that have been seen, looked up by bands of their hashes.

    A hash is cut into four bands of 16 bits. Whoever shares one with an earlier picture is compared
    with it: all 16 x 16 cells of both thumbnails, since a hash of luma is blind to colour.
    """

    def __init__(self):
        self._places: dict[int, list[int]] = {}
        self._keys: list[str] = []
        # a row each, and rows to spare
        self._thumbnails = np.empty((64, CELLS * CELLS * 3), np.uint8)

    def earlier(self, key: str, code: int, thumbnail: bytes) -> str | None:
        """The key of the first picture that this one repeats; None, and it is kept in mind"""
        cells = np.frombuffer(thumbnail, np.uint8)
        bands = _bands(code)
        places = sorted({place for band in bands for place in self._places.get(band, ())})
        if places:
            seen = self._thumbnails[places].astype(np.int16)
            near = np.abs(seen - cells).max(axis=1) <= APART
            if near.any():
                return self._keys[places[int(near.argmax())]]
        self._keep(key, bands, cells)
        return None

    def _keep(self, key: str, bands: list[int], cells: np.ndarray) -> None:
        place, rows = len(self._keys), len(self._thumbnails)
        if place == rows:
            self._thumbnails = np.resize(self._thumbnails, (2 * rows, len(cells)))
        for band in bands:
            self._places.setdefault(band, []).append(place)
        self._keys.append(key)
        self._thumbnails[place] = cells


def _bands(code: int) -> list[int]:
    """The bands of a hash, each with its own number in front"""
    each = BITS // BANDS
    return [i << each | code >> (i * each) & (1 << each) - 1 for i in range(BANDS)]


def balanced(kinds: dict[str, str], most: float, seed: int = 0) -> set[str]:
    """{key: kind} -> the keys that stay when no kind may exceed `most` times the rarest

    Which stay depends on key and seed alone, not on the order. Raises ValueError for a `most`
    below 1.
    """
    if not most >= 1:
        raise ValueError(f"most must be at least 1, got {most:g}")
    groups: dict[str, list[str]] = {}
    for key, kind in kinds.items():
        groups.setdefault(kind, []).append(key)
    limit = int(most * min(map(len, groups.values()), default=0))
    drawn = (sorted(keys, key=lambda key: draw(key, seed))[:limit] for keys in groups.values())
    return {key for keys in drawn for key in keys}


def draw(key: str, seed: int = 0) -> float:
    """A number from 0 to 1 that depends on key and seed alone"""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def kind_of(numbers: dict, caption: str) -> str:
    """The report balances pictures with and without text, and by language"""
    language = "Chinese" if any("\u4e00" <= letter <= "\u9fff" for letter in caption) else "other"
    return f"{'text' if numbers['characters'] else 'no text'}, {language}"


def scales(width: int, height: int, areas: Iterable[int]) -> list[int]:
    """The areas that a picture is trained at: those that it fills, or else the smallest

    Training at several scales, the report's last stage: nothing is ever enlarged.
    """
    ordered = sorted(set(areas))
    return [area for area in ordered if area <= width * height] or ordered[:1]
