"""A folder of pictures with captions, ready for training: sizes that fit, latents, text states.

Captions are text files beside the pictures (cat.png, cat.txt), or the rows of metadata.csv or
metadata.jsonl: a column image (or file_name) and a column prompt (or text, or caption). Whatever
cannot be used is named; nothing is left out silently.
"""

import csv
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from ..files import shorten, whole_file
from ..pipeline import TOKEN, QwenImage

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
METADATA = ("metadata.jsonl", "metadata.csv")
PICTURE_COLUMNS = ("image", "file_name")
CAPTION_COLUMNS = ("prompt", "text", "caption")
SMALLEST = TOKEN  # pixels along a side


class DataError(ValueError):
    """A folder that cannot be trained on; one line names what is wrong with it."""


@dataclass(frozen=True)
class Example:
    """A picture and what is to be seen in it."""

    picture: Path
    caption: str


@dataclass(frozen=True)
class Encoded:
    """What training needs of an example: neither VAE nor text tower is asked again."""

    latents: torch.Tensor  # (C, h, w), normalised
    txt: torch.Tensor  # (T, Dt)


# -- reading


def read_folder(folder: str | Path, skip: bool = False) -> tuple[list[Example], list[str]]:
    """-> the examples, and one line for each that cannot be used

    Raises DataError with those lines, unless `skip` says to go on without them, and where nothing
    is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of pictures with captions")
    given = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(given) > 1:
        raise DataError(f"{folder} holds both {' and '.join(METADATA)}; keep one of them")
    pairs, problems = _listed(given[0]) if given else _beside(folder)
    examples = []
    for picture, caption in pairs:
        if problem := _problem(picture, caption):
            problems.append(f"{picture.relative_to(folder)} {problem}")
        else:
            examples.append(Example(picture, caption.strip()))
    if problems and not skip:
        raise DataError(
            f"{folder}: {len(problems)} of {len(problems) + len(examples)} examples cannot be used "
            f"({shorten(problems)}); mend them, or leave them out with --skip-bad"
        )
    if not examples:
        raise DataError(f"{folder} holds no picture with a caption")
    return examples, problems


def _beside(folder: Path) -> tuple[list, list[str]]:
    """Pictures and the text files of their names."""
    pairs, problems = [], []
    for picture in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        text = picture.with_suffix(".txt")
        try:
            pairs.append((picture, text.read_text(encoding="utf-8")))
        except FileNotFoundError:
            problems.append(f"{picture.name} has no caption, {text.name}")
        except (OSError, ValueError) as error:
            problems.append(f"{text.name} cannot be read ({error})")
    return pairs, problems


def _listed(metadata: Path) -> tuple[list, list[str]]:
    """The rows of a table."""
    try:
        text = metadata.read_text(encoding="utf-8-sig")
        if metadata.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{metadata} cannot be read ({error})") from None
    pairs, problems = [], []
    for number, row in enumerate(rows, 1):
        row = row if isinstance(row, dict) else {}
        name = next((row[key] for key in PICTURE_COLUMNS if row.get(key)), None)
        caption = next((row[key] for key in CAPTION_COLUMNS if row.get(key)), None)
        if not isinstance(name, str) or not isinstance(caption, str):
            missing = "caption" if isinstance(name, str) else "picture"
            problems.append(f"row {number} of {metadata.name} names no {missing}")
        elif (
            not (picture := metadata.parent / name)
            .resolve()
            .is_relative_to(metadata.parent.resolve())
        ):
            problems.append(f"row {number} of {metadata.name} names a picture outside the folder")
        else:
            pairs.append((picture, caption))
    return pairs, problems


def _problem(picture: Path, caption: str) -> str | None:
    """Why an example cannot be used, or None."""
    if not caption.strip():
        return "has an empty caption"
    if not picture.is_file():
        return "is not there"
    try:
        with Image.open(picture) as opened:
            opened.load()
            width, height = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"is broken ({' '.join(str(error).split())})"
    if min(width, height) < SMALLEST:
        return f"is {width}x{height} pixels, the smallest side is {SMALLEST}"
    return None


# -- sizes


def bucket(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Size of a picture -> the size it is trained at: its shape kept, never enlarged.

    Sides are multiples of 16, of 64 around a megapixel, so that many pictures share a size and can
    be trained together.
    """
    step = TOKEN * max(1, round(math.sqrt(max_pixels) / (16 * TOKEN)))
    shrink = min(1.0, math.sqrt(max_pixels / (width * height)))
    if min(width, height) * shrink < step:
        step = TOKEN
    sides = (max(step, int(side * shrink) // step * step) for side in (width, height))
    return tuple(sides)


def fitted(path: Path, max_pixels: int) -> Image.Image:
    """A picture at its bucket's size: scaled until it covers it, then cut at the middle."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
        if "A" in upright.getbands() or "transparency" in upright.info:
            clear = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        picture = upright.convert("RGB")
    size = bucket(*picture.size, max_pixels)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


# -- encoding


def encode(
    pipe: QwenImage, examples: list[Example], folder: Path, max_pixels: int, weights: str = ""
) -> tuple[list[Encoded], torch.Tensor]:
    """-> what training needs of each example, and the text states of the empty caption " "

    Kept in `folder`, under names that change with the picture, the caption, the size and `weights`
    (which tells the encoders apart), so that a second run asks neither VAE nor text tower.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded = []
    for example in tqdm(examples, desc="encoding", unit="picture", delay=0.5):
        content = hashlib.sha256(example.picture.read_bytes()).hexdigest()
        told = f"{content} {example.caption} {max_pixels} {weights}"
        tensors = _kept(folder, told, lambda example=example: _encode(pipe, example, max_pixels))
        encoded.append(Encoded(tensors["latents"], tensors["txt"]))
    empty = _kept(folder, f"the empty caption {weights}", lambda: {"txt": _states(pipe, " ")})
    return encoded, empty["txt"]


def _kept(folder: Path, told: str, make) -> dict[str, torch.Tensor]:
    file = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.safetensors"
    if not file.exists():
        with whole_file(file) as partial:
            save_file(make(), partial)
    try:
        return load_file(file)
    except SafetensorError as error:
        raise DataError(f"{file} is damaged ({error}); remove it, it is made anew") from None


@torch.no_grad()
def _encode(pipe: QwenImage, example: Example, max_pixels: int) -> dict[str, torch.Tensor]:
    picture = fitted(example.picture, max_pixels)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    img = pixels.view(1, picture.height, picture.width, 3).permute(0, 3, 1, 2)
    img = (img.to(pipe.device, pipe.dtype) / 127.5) - 1
    latents = pipe.vae.normalize(pipe.vae.encode(img)[0])  # the mean, as the public trainers take
    return {"latents": latents[0].cpu().contiguous(), "txt": _states(pipe, example.caption)}


@torch.no_grad()
def _states(pipe: QwenImage, caption: str) -> torch.Tensor:
    return pipe.encode_prompt([caption])[0][0].cpu().contiguous()


def weights_id(folder: Path) -> str:
    """Tells the files of one model from another's, or from the same ones after a change."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]
