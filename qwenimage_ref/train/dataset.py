"""A folder of pictures with captions, ready for training: sizes that fit, latents, text states.

Captions are text files beside the pictures (cat.png, cat.txt), or the rows of metadata.csv,
metadata.json or metadata.jsonl: a column image (or file_name) and a column prompt (or text, or
caption). Further columns are those of columns.py. Names in a table may be relative to the folder or
absolute, but lie in the folder. Whatever cannot be used is named; nothing is left out silently.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from ..files import shorten
from ..pictures import PictureError, open_picture, to_input
from ..pipeline import TOKEN, QwenImage
from .captions import TABLES, DataError, Rows, beside, listed
from .columns import Columns, check_shapes, columns_of
from .conditioning import check, conditions, fit, layer_latents
from .run_folder import RunFolder
from .state import read_tensors, write_tensors

SMALLEST = TOKEN  # pixels along a side


@dataclass(frozen=True)
class Example:
    """A picture and what it shows."""

    picture: Path
    caption: str
    columns: Columns = Columns()


@dataclass(frozen=True)
class Encoded:
    """An example as training needs it, when VAE and text encoder have done their part."""

    latents: torch.Tensor  # (C, h, w), normalised; frames of a layered model above each other
    txt: torch.Tensor  # (T, Dt)
    empty: torch.Tensor | None = None  # (Te, Dt), the empty caption with pictures in its text
    img: torch.Tensor | None = None  # (I_cond, 64) clean condition pictures
    grids: tuple = ()  # (frames, rows, cols) of each, in tokens
    frames: int = 1  # number of them in the latents
    lengths: tuple = ()  # texts of regions, in tokens; they stand in `txt` before the caption
    seen: torch.Tensor | None = None  # (R, I + I_cond), the image tokens inside each region
    control: torch.Tensor | None = None  # (C, h, w) or (C + 1, h, w): what a control network reads

    def __post_init__(self):
        object.__setattr__(self, "grids", tuple(tuple(grid) for grid in self.grids))
        object.__setattr__(self, "lengths", tuple(self.lengths))

    @property
    def group(self) -> tuple:
        """What the examples of a batch have in common"""
        shape = tuple(self.latents.shape)
        plain = self.img is None and self.seen is None and self.control is None
        own = () if self.seen is None else (*self.lengths, len(self.txt))
        controlled = 0 if self.control is None else len(self.control)
        return shape if plain else (*shape, self.grids, self.frames, own, controlled)


# -- reading


def read_folder(folder: str | Path, skip: bool = False) -> tuple[list[Example], list[str]]:
    """-> the examples, and one line for each that cannot be used

    skip: leave those out. Without it their lines are a DataError, and so is a folder without any
    example.
    """
    folder = Path(folder)
    rows, problems = rows_in(folder)
    examples = []
    for picture, caption, row in rows:
        try:
            examples.append(_example(folder, picture, caption, row))
        except ValueError as error:
            problems.append(f"{picture.relative_to(folder)} {error}")
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


def rows_in(folder: Path) -> tuple[Rows, list[str]]:
    """Pictures, captions and rows of a folder, whichever way it states them, and its problems

    No picture is opened. Raises DataError for what is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"pictures with captions must be in a folder, got {folder}; check the path")
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    if len(tables) > 1:
        names = " and ".join(table.name for table in tables)
        raise DataError(f"{folder} holds both {names}; keep one of them")
    return listed(tables[0]) if tables else beside(folder)


def _example(folder: Path, picture: Path, caption: str, row: dict) -> Example:
    """Raises ValueError, which goes on from the picture's name, for one that cannot be used."""
    if problem := problem_of(picture) if caption.strip() else "has an empty caption":
        raise ValueError(problem)
    columns = columns_of(folder, row)
    for other in columns.pictures:
        if problem := problem_of(other):
            raise ValueError(f"names {other.relative_to(folder)}, which {problem}")
    check_shapes(picture, columns)
    return Example(picture, caption.strip(), columns)


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
    return fit(open_picture(path), bucket(*open_picture(path).size, max_pixels))


# -- encoding


def encode(
    pipe: QwenImage, examples: list[Example], folder: RunFolder, max_pixels: int, weights: str = ""
) -> tuple[list[Encoded], torch.Tensor]:
    """-> each example as training needs it, and the text states of the empty caption " "

    Kept in `encoded`, in the run's folder, under names that change with picture, caption, size and
    `weights` (which identifies the encoders), so that a second run encodes nothing again. Raises
    RunError where a kept file is damaged or none can be written.
    """
    check(pipe, examples)
    encoded = []
    for example in tqdm(examples, desc="encoding", unit="picture", delay=0.5):
        key = f"{_sha256(example.picture)} {example.caption} {max_pixels} {weights}"
        if example.columns.names:
            key += f" {_columns_key(example.columns)}"

        def keep(file: Path, what: str, compute: Callable[[], dict]) -> dict:
            return _kept(folder, f"{what} of {_sha256(file)} {weights}", compute)

        def compute(example=example, keep=keep) -> dict:
            return _encode(pipe, example, max_pixels, keep)

        values = {name: _value(tensor) for name, tensor in _kept(folder, key, compute).items()}
        encoded.append(Encoded(**values))
    return encoded, kept_states(pipe, " ", folder, weights)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _columns_key(columns: Columns) -> str:
    files = [_sha256(path) for path in columns.pictures]
    return repr((columns.names, files, columns.eligen_entity_prompts))


def _value(tensor: torch.Tensor):
    """A kept tensor -> the same; whole numbers, which count tokens, as they were"""
    return tensor.tolist() if tensor.dtype == torch.int64 else tensor


def kept_states(pipe: QwenImage, caption: str, folder: RunFolder, weights: str = ""):
    """The text states of a caption without a picture, (T, Dt), kept as `encode` does"""
    key = "the empty caption" if caption == " " else f"the caption {caption}"
    return _kept(folder, f"{key} {weights}", lambda: {"txt": states_of(pipe, caption)})["txt"]


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
def _encode(pipe: QwenImage, example: Example, max_pixels: int, keep=None) -> dict:
    columns, shown = example.columns, fitted(example.picture, max_pixels)
    if columns.layers:
        latents = layer_latents(pipe, columns.layers, shown.size)
    else:
        latents = latents_of(pipe, shown)
    demand_finite(latents, example.picture)
    if columns.names:
        more = conditions(pipe, example.caption, columns, shown.size, keep)
    else:
        more = {"txt": states_of(pipe, example.caption)}
    return {"latents": latents[0], **more}


def demand_finite(latents: torch.Tensor, picture: str | Path) -> None:
    if not torch.isfinite(latents).all():
        raise FloatingPointError(f"{picture}: its latents hold NaN; are the weights whole?")


@torch.no_grad()
def latents_of(pipe: QwenImage, shown: Image.Image) -> torch.Tensor:
    """A picture -> the mean of its latents, (1, C, h, w), as public trainers take it"""
    return pipe.vae.normalize(pipe.vae.encode(to_input([shown]).to(pipe.device, pipe.dtype))[0])


@torch.no_grad()
def states_of(pipe: QwenImage, caption: str) -> torch.Tensor:
    return pipe.encode_prompt([caption])[0][0]


def weights_id(folder: Path) -> str:
    """Identifies a file, or the files of one model; another one, or a changed file, has another."""
    files = sorted(path for path in (folder, *folder.rglob("*")) if path.is_file())
    stats = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:16]
