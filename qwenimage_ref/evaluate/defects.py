"""Posters with planted defects, one kind for each filter of the data pipeline."""

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from ..posters.draw import second_poster
from ..posters.writing import font

NEON = ((255, 0, 190), (0, 255, 60), (0, 120, 255), (255, 90, 0))
REFUSALS = (
    "I'm sorry, I can't help with that.", "As an AI I am unable to view pictures.",
    "IMG_2034.JPG", "untitled-7.png", "https://example.com/stock/81923", "抱歉，无法识别这张图片",
)  # fmt: skip
LETTERS = "abcdefghkmnopqrstuvwxyzABCDEFGHKLMNPRSTUVWXYZ"
MARK = "SAMPLE"


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    """The content of a picture file"""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _broken(picture, caption, rng):
    content = encoded(picture)
    if rng.random() < 0.5:  # a download that stopped
        return content[: rng.randrange(60, len(content) * 3 // 4)], caption
    return b"<html>404 Not Found</html>" + content[:200], caption


def _size(picture, caption, rng):
    if rng.random() < 0.5:
        picture = picture.resize((rng.randrange(20, 60), rng.randrange(20, 60)))
    else:
        long = rng.randrange(330, 420)
        picture = picture.resize((long, 100) if rng.random() < 0.5 else (100, long))
    return encoded(picture), caption


def _duplicate(picture, caption, rng):
    """The same poster as another site shows it: smaller, compressed, a little lighter"""
    shrink = rng.choice((1.0, 0.9))
    picture = picture.resize([round(side * shrink) for side in picture.size])
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.97, 1.0))
    return encoded(picture, "JPEG", quality=rng.randrange(60, 95)), caption


def _rotation(picture, caption, rng):
    exif = Image.Exif()
    exif[0x0112] = rng.choice((2, 3, 6, 8))
    return encoded(picture, "JPEG", quality=95, exif=exif), caption


def _clarity(picture, caption, rng):
    return encoded(picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 4)))), caption


def _luma(picture, caption, rng):
    towards = rng.choice((0, 255))
    flat = Image.new("RGB", picture.size, (towards,) * 3)
    return encoded(Image.blend(picture, flat, rng.uniform(0.9, 0.95))), caption


def _saturation(picture, caption, rng):
    neon = Image.new("RGB", picture.size, rng.choice(NEON))
    return encoded(Image.blend(picture, neon, rng.uniform(0.65, 0.8))), caption


def _entropy(picture, caption, rng):
    return encoded(Image.new("RGB", picture.size, picture.getpixel((1, 1)))), caption


def _texture(picture, caption, rng):
    size = (picture.height, picture.width, 3)
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, rng.uniform(12, 40), size)
    noisy = (np.asarray(picture) + noise).round().clip(0, 255).astype(np.uint8)
    return encoded(Image.fromarray(noisy)), caption


def _caption(picture, caption, rng):
    if rng.random() < 0.5:
        return encoded(picture), rng.choice(REFUSALS)
    return encoded(picture), " ".join([caption] * rng.randrange(12, 30))


def _agreement(picture, caption, rng):
    return encoded(picture), second_poster(rng.randrange(10**9, 2 * 10**9))[2]


def _ink(picture: Image.Image) -> tuple[int, int, int]:
    dark = sum(picture.getpixel((1, 1))) < 3 * 90
    return (250, 250, 250) if dark else (20, 20, 20)


def _lines(picture, rng, size: int, step: int, rows) -> Image.Image:
    picture = picture.copy()
    pen = ImageDraw.Draw(picture)
    for y in rows:
        line = "".join(rng.choice(LETTERS + "   ") for _ in range(60))
        pen.text((3, y), line, _ink(picture), font(size))
    return picture


def _dense(picture, caption, rng):
    rows = range(2, picture.height - 12, 13)
    return encoded(_lines(picture, rng, 13, 13, rows)), caption


def _small(picture, caption, rng):
    start = rng.randrange(2, 12)
    return encoded(_lines(picture, rng, 6, 8, range(start, start + 16, 8))), caption


def _resolution(picture, caption, rng):
    side = rng.randrange(66, 94)
    scale = side / min(picture.size)
    return encoded(picture.resize([max(64, round(each * scale)) for each in picture.size])), caption


def _watermark(picture, caption, rng):
    ink = _ink(picture)
    mark = Image.new("L", picture.size)
    pen, size = ImageDraw.Draw(mark), rng.randrange(20, 28)
    for y in range(rng.randrange(6, 20), picture.height, 40):
        pen.text((rng.randrange(0, 20), y), MARK, round(255 * rng.uniform(0.08, 0.16)), font(size))
    return encoded(Image.composite(Image.new("RGB", picture.size, ink), picture, mark)), caption


Plant = Callable[[Image.Image, str, random.Random], tuple[bytes, str]]
DEFECTS: dict[str, Plant] = {  # the filter that should find it
    "broken": _broken,
    "size": _size,
    "duplicate": _duplicate,
    "rotation": _rotation,
    "clarity": _clarity,
    "luma": _luma,
    "saturation": _saturation,
    "entropy": _entropy,
    "texture": _texture,
    "caption": _caption,
    "agreement": _agreement,
    "dense text": _dense,
    "small characters": _small,
    "resolution": _resolution,
    "watermark": _watermark,
}
SHARE = 0.5  # posters with a defect among all


def planted(seed: int) -> tuple[bytes, str, str | None]:
    """Seed -> picture file, caption, and the defect that was planted, None in about half of them

    A duplicate repeats the poster of the seed before it, which is whole.
    """
    defect = None if _drawn(seed + 1) == "duplicate" else _drawn(seed)
    source = seed - 1 if defect == "duplicate" else seed
    _, pixels, caption = second_poster(source, unseen=None)
    picture = Image.fromarray(pixels)
    if defect is None:
        return encoded(picture), caption, None
    return *DEFECTS[defect](picture, caption, random.Random(f"planted {seed}")), defect


def _drawn(seed: int) -> str | None:
    rng = random.Random(f"defect {seed}")
    return rng.choice(tuple(DEFECTS)) if rng.random() < SHARE else None
