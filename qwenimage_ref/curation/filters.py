"""The filters of the report's stages one to five: of each picture a number, and a limit to it.

    numbers = numbers_of(content, caption)      # one picture file and what is said of it
    reason(numbers, POSTERS)                    # None, or the first filter that it does not pass

Stages six and seven concern all pictures together; see together.py. Filters that need networks of
their own (NSFW, aesthetics, CLIP) enter as `agreement` does: a function from outside.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..pictures import ORIENTATION, PictureError, picture_from
from . import picture as look
from .text_areas import text, watermark

STAGES = {  # the report's names, section 3.2
    1: "Initial Pre-training Data Curation",
    2: "Image Quality Enhancement",
    3: "Image-Text Alignment Improvement",
    4: "Text Rendering Enhancement",
    5: "High-Resolution Refinement",
    6: "Category Balance and Portrait Augmentation",
    7: "Balanced Multi-Scale Training",
}
# captions that say nothing of a picture: refusals, names of files, addresses, markup
INVALID = re.compile(
    r"(?i)\b(i'?m sorry|i can(no|')t|as an ai|unable to (see|view|process))|^\W*(img|dsc|image|"
    r"photo|untitled)?[ _-]*\d*\.(jpe?g|png|webp|gif)\W*$|https?://|</?[a-z]+>|抱歉|无法(识别|描述)"
)
FEWEST = 6  # characters; fewer are part of a word or a logo
Agreement = Callable[[Image.Image, str], float]


@dataclass(frozen=True)
class Limits:
    """What passes. The defaults are for photographs and drawings of any kind."""

    side: int = 256  # pixels along the shorter side, at least
    ratio: float = 3.0  # longer to shorter side, at most; the report trains up to 3:1
    clarity: float = 0.1  # at least; see picture.py, for all of these
    darkest: float = 200.0  # at most: else nothing on it is dark
    lightest: float = 50.0  # at least: else nothing on it is light
    saturation: float = 0.75  # at most
    entropy: float = 1.0  # bits, at least
    texture: float = 12.0  # levels, at most
    words: int = 256  # at most; a Chinese character counts as one
    agreement: float = 0.5  # at least, where it is measured
    density: float = 60.0  # characters in 128 x 128 pixels, at most
    height: float = 6.0  # pixels of characters, at least
    resolution: int = 640  # pixels along the shorter side, at least, from stage five on
    watermark: float = 0.02  # share of the pixels, at most


# flat designs of 96 to 176 pixels, in full colours, with one word or none
POSTERS = Limits(
    side=64, clarity=0.35, darkest=230.0, lightest=40.0, saturation=0.5, entropy=0.1, texture=4.0,
    words=40, agreement=0.95, density=40.0, height=7.0, resolution=96, watermark=0.015,
)  # fmt: skip
LIMITS = {"any": Limits(), "posters": POSTERS}


@dataclass(frozen=True)
class Filter:
    """One filter: the stage that it enters in, and which numbers pass."""

    stage: int
    passes: Callable[[dict, Limits], bool]


FILTERS: dict[str, Filter] = {
    "broken": Filter(1, lambda n, limits: not n["broken"]),
    "size": Filter(1, lambda n, limits: n["side"] >= limits.side and n["ratio"] <= limits.ratio),
    "rotation": Filter(2, lambda n, limits: n["orientation"] == 1),
    "clarity": Filter(2, lambda n, limits: n["clarity"] >= limits.clarity or _blank(n, limits)),
    "luma": Filter(
        2,
        lambda n, limits: (
            (n["darkest"] <= limits.darkest and n["lightest"] >= limits.lightest)
            or _blank(n, limits)
        ),
    ),
    "saturation": Filter(2, lambda n, limits: n["saturation"] <= limits.saturation),
    "entropy": Filter(2, lambda n, limits: not _blank(n, limits)),
    "texture": Filter(2, lambda n, limits: n["texture"] <= limits.texture),
    "caption": Filter(3, lambda n, limits: n["valid"] and n["words"] <= limits.words),
    "agreement": Filter(
        3, lambda n, limits: n["agreement"] is None or n["agreement"] >= limits.agreement
    ),
    "dense text": Filter(4, lambda n, limits: n["density"] <= limits.density),
    "small characters": Filter(
        4, lambda n, limits: n["characters"] < FEWEST or n["height"] >= limits.height
    ),
    "resolution": Filter(5, lambda n, limits: n["side"] >= limits.resolution),
    "watermark": Filter(5, lambda n, limits: n["watermark"] <= limits.watermark),
}


TOGETHER = {"duplicate": 1, "balance": 6}  # stages of what together.py removes


def stage_of(name: str) -> int:
    """The stage in which a filter, or what together.py does, enters"""
    return TOGETHER.get(name) or FILTERS[name].stage


def _blank(numbers: dict, limits: Limits) -> bool:
    """Whether next to nothing is on a picture, of whose edges and levels nothing can be said."""
    return numbers["entropy"] < limits.entropy


def failing(numbers: dict, limits: Limits) -> list[str]:
    """Every filter that a picture does not pass; of a broken file nothing else is known."""
    if numbers["broken"]:
        return ["broken"]
    return [name for name, each in FILTERS.items() if not each.passes(numbers, limits)]


def reason(numbers: dict, limits: Limits) -> str | None:
    """The first filter that a picture does not pass, in the order of the stages, or None"""
    return next(iter(failing(numbers, limits)), None)


def numbers_of(content: bytes, caption: str, agreement: Agreement | None = None) -> dict:
    """A picture file and its caption -> what the filters look at, ready for JSON

    agreement: from picture and caption to a number from 0 to 1. Where it raises ValueError the
    number is None, and the filter lets the picture pass.
    """
    try:
        opened = picture_from(content)
    except PictureError as error:
        return {"broken": error.reason, **caption_numbers(caption)}
    pixels = np.asarray(opened)
    darkest, lightest = look.darkest_and_lightest(pixels)
    written = text(pixels)
    return {
        "broken": "",
        "side": min(opened.size),
        "ratio": max(opened.size) / min(opened.size),
        "orientation": orientation(content),
        "clarity": look.clarity(pixels),
        "darkest": darkest,
        "lightest": lightest,
        "saturation": look.saturation(pixels),
        "entropy": look.entropy(pixels),
        "texture": look.texture(pixels),
        **caption_numbers(caption),
        "agreement": _agreement(agreement, opened, caption),
        "characters": written.count,
        "density": written.density,
        "height": written.height,
        "watermark": watermark(pixels),
        "hash": look.perceptual_hash(pixels),
        "thumbnail": look.thumbnail(pixels).hex(),
    }


def caption_numbers(caption: str) -> dict:
    """Its length in words, a Chinese character counting as one, and whether it says anything"""
    words = len(re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", caption))
    return {"words": words, "valid": words > 0 and not INVALID.search(caption)}


def orientation(content: bytes) -> int:
    """The orientation that a picture file's EXIF states; 1 is upright, and what is meant by none"""
    try:
        return int(Image.open(io.BytesIO(content)).getexif().get(ORIENTATION, 1))
    except Exception:  # the metadata are damaged; the pixels are whole
        return 1


def _agreement(function: Agreement | None, opened: Image.Image, caption: str) -> float | None:
    if function is None:
        return None
    try:
        return float(function(opened, caption))
    except ValueError:
        return None
