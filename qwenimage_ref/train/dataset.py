"""A folder of pictures with captions, ready for training: sizes that fit, latents, text states.

Captions are text files beside the pictures (cat.png, cat.txt), or the rows of metadata.csv or
metadata.jsonl: a column image (or file_name) and a column prompt (or text, or caption). Names in a
table may be relative to the folder or absolute, but lie in the folder. Whatever cannot be used is
named; nothing is left out silently.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from ..files import shorten
from ..pictures import PictureError, open_picture, to_input
from ..pipeline import TOKEN, QwenImage
from .captions import TABLES, DataError, beside, listed
from .run_folder import RunFolder
from .state import read_tensors, write_tensors

SMALLEST = TOKEN  # pixels along a side


@dataclass(frozen=True)
class Example:
    """A picture and what it shows."""

    picture: Path
    caption: str


@dataclass(frozen=True)
class Encoded:
    """An example as training needs it, when VAE and text encoder have done their part."""

    latents: torch.Tensor  # (C, h, w), normalised
    txt: torch.Tensor  # (T, Dt)


# -- reading


def read_folder(folder: str | Path, skip: bool = False) -> tuple[list[Example], list[str]]:
    """-> the examples, and one line for each that cannot be used

    skip: leave those out. Without it their lines are a DataError, and so is a folder without any
    example.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"pictures with captions must be in a folder, got {folder}; check the path")
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    if len(tables) > 1:
        raise DataError(f"{folder} holds both {' and '.join(TABLES)}; keep one of them")
    pairs, problems = listed(tables[0]) if tables else beside(folder)
    examples = []
    for picture, caption in pairs:
        if problem := problem_of(picture) if caption.strip() else "has an empty caption":
            problems.append(f"{picture.relative_to(folder)} {problem}")
        else:
            examples.append(Example(picture, caption.strip()))
    if problems and not skip:
        raise DataError(
            f"{folder}: {len(problems)} of {len(problems) + len(examples)} examples cannot be used "
            f"({shorten(problems)}); correct them, or leave them out with --skip-bad"
        )
    if not examples:
        raise DataError(
            f"{folder} must hold a picture with a caption, got none; put cat.txt beside cat.png"
        )
    return examples, problems


def problem_of(picture: Path) -> str | None:
    """Why a picture cannot be trained on, or None."""
    try:
        if not picture.exists():
            return "is not there"
        width, height = open_picture(picture).size
    except PictureError as error:
        return f"cannot be used ({error.reason})"
    except OSError as error:  # a name that is too long
        return f"is not there ({error.strerror})"
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
    picture = open_picture(path)
    size = bucket(*picture.size, max_pixels)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


# -- encoding


def encode(
    pipe: QwenImage, examples: list[Example], folder: RunFolder, max_pixels: int, weights: str = ""
) -> tuple[list[Encoded], torch.Tensor]:
    """-> each example as training needs it, and the text states of the empty caption " "

    Kept in `encoded`, in the run's folder, under names that change with picture, caption, size and
    `weights` (which identifies the encoders), so that a second run encodes nothing again. Raises
    RunError where a kept file is damaged or none can be written.
    """
    encoded = []
    for example in tqdm(examples, desc="encoding", unit="picture", delay=0.5):
        content = hashlib.sha256(example.picture.read_bytes()).hexdigest()
        key = f"{content} {example.caption} {max_pixels} {weights}"
        tensors = _kept(folder, key, lambda example=example: _encode(pipe, example, max_pixels))
        encoded.append(Encoded(tensors["latents"], tensors["txt"]))
    return encoded, kept_states(pipe, " ", folder, weights)


def kept_states(pipe: QwenImage, caption: str, folder: RunFolder, weights: str = ""):
    """The text states of a caption without a picture, (T, Dt), kept as `encode` does"""
    key = "the empty caption" if caption == " " else f"the caption {caption}"
    return _kept(folder, f"{key} {weights}", lambda: {"txt": _states(pipe, caption)})["txt"]


def _kept(folder: RunFolder, key: str, compute: Callable[[], dict]) -> dict[str, torch.Tensor]:
    """The tensors of that key, computed when they are first needed."""
    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    file = folder.path / "encoded" / f"{name}.safetensors"
    if not file.exists():
        tensors = compute()
        file.parent.mkdir(exist_ok=True)
        write_tensors(folder, file, tensors, {})
    return read_tensors(file, remedy="delete it and it will be rebuilt")[0]


@torch.no_grad()
def _encode(pipe: QwenImage, example: Example, max_pixels: int) -> dict[str, torch.Tensor]:
    img = to_input([fitted(example.picture, max_pixels)]).to(pipe.device, pipe.dtype)
    latents = pipe.vae.normalize(pipe.vae.encode(img)[0])  # the mean, as the public trainers take
    if not torch.isfinite(latents).all():
        raise FloatingPointError(f"{example.picture}: its latents hold NaN; are the weights whole?")
    return {"latents": latents[0], "txt": _states(pipe, example.caption)}


@torch.no_grad()
def _states(pipe: QwenImage, caption: str) -> torch.Tensor:
    return pipe.encode_prompt([caption])[0][0]


def weights_id(folder: Path) -> str:
    """Identifies a file, or the files of one model; another one, or a changed file, has another."""
    files = sorted(path for path in (folder, *folder.rglob("*")) if path.is_file())
    stats = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
