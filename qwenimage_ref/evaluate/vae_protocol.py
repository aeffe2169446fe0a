"""PSNR and SSIM of a VAE on any pictures, by the protocol of the technical report's Table 2.

float32, 256x256 pixels, encoded to the posterior's mean and decoded. How a picture becomes 256x256
the report does not say: here it is cut to a square at the middle and scaled, as is usual for
ImageNet, on which the report measures.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from ..checkpoint import locate
from ..checkpoint.model_folder import empty_network
from ..limits import decoder_bytes, demand_memory
from ..load import load_weights
from ..pictures import SUFFIXES, PictureError, open_picture
from ..vae import STRIP, VAE
from . import tables
from .intervals import mean_interval
from .psnr_ssim import WINDOW, psnr, reconstruct, ssim

SIDE = 256  # pixels, the report's
BATCH = 8  # pictures of one size at a time
LOSSLESS = 100.0  # dB, written where a copy is equal to the last bit and its PSNR infinite


def load_vae(folder_or_hub_id, device: str = "cpu") -> VAE:
    """The VAE of a model in the official layout, in float32; nothing else of it need be there.

    Raises CheckpointError or ConfigError, one line.
    """
    folder = locate.resolve(folder_or_hub_id)
    vae = empty_network(folder, "vae")
    load_weights(vae, folder / "vae", torch.float32, device)
    return vae.to(device).eval().requires_grad_(False)


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder and those below it, sorted. Raises ValueError where there is none.

    Files whose names begin with a dot are none.
    """
    if not folder.is_dir():
        raise ValueError(f"--pictures must be a folder of pictures, got {folder}")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise ValueError(
            f"--pictures must hold files ending in {kinds}, got none in {folder}; add some"
        )
    return files


def prepared(path: Path, side: int | None, step: int) -> torch.Tensor:
    """A picture -> (1, 3, side, side) in 0 to 1; without a side at its own, cut to multiples of
    `step`. Raises PictureError."""
    picture = open_picture(path)
    size = (side, side)
    if side is None:
        size = tuple(length // step * step for length in picture.size)
        if min(size) < WINDOW:
            raise PictureError(path, f"it is {picture.width}x{picture.height} pixels, too small")
        left, top = ((old - new) // 2 for old, new in zip(picture.size, size))
        picture = picture.crop((left, top, left + size[0], top + size[1]))
    else:
        picture = ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).unsqueeze(0) / 255


def measure(vae: VAE, folder: Path, side: int | None = SIDE, quiet: bool = False) -> dict:
    """-> {"psnr", "ssim": means and 95 % intervals, "pictures": both of each, "left_out": lines}

    Raises ValueError where fewer than two pictures can be measured.
    """
    files, left_out, each = picture_files(folder), [], {}
    device = next(vae.parameters()).device
    with tqdm(total=len(files), unit="picture", disable=quiet) as bar:
        for names, img in _batches(files, folder, side, vae, left_out):
            img = img.to(device)
            again = reconstruct(vae, img)
            pairs = zip(psnr(again, img).tolist(), ssim(again, img).tolist())
            for name, (decibels, alike) in zip(names, pairs):
                decibels = min(decibels, LOSSLESS)
                each[name] = {"psnr": round(decibels, 4), "ssim": round(alike, 6)}
            bar.update(len(each) + len(left_out) - bar.n)
    if len(each) < 2:
        raise ValueError(
            f"--pictures must hold at least 2 pictures that can be used, got {len(each)} of "
            f"{len(files)} in {folder}" + (f" ({left_out[0]})" if left_out else "")
        )
    means = {key: mean_interval([row[key] for row in each.values()]) for key in ("psnr", "ssim")}
    return {"side": side} | means | {"left_out": left_out, "pictures": each}


def _batches(files, folder: Path, side, vae: VAE, left_out: list[str]) -> Iterator:
    """Names and pictures (B, 3, H, W) of one size; lines about unusable ones go to `left_out`."""
    names, waiting = [], []
    for path in files:
        try:
            img = prepared(path, side, vae.config.scale)
            demand_memory(*needs(vae, img.shape[2:]), f"the copy of {path.name}", "use --side 256")
        except ValueError as error:
            left_out.append(str(error))
            continue
        if waiting and (img.shape != waiting[0].shape or len(waiting) == batch_size(side)):
            yield names, torch.cat(waiting)
            names, waiting = [], []
        names.append(str(path.relative_to(folder)))
        waiting.append(img)
    if waiting:
        yield names, torch.cat(waiting)


def batch_size(side: int | None) -> int:
    return BATCH if side is not None else 1


def needs(vae: VAE, size, pictures: int = 1) -> tuple[int, torch.device]:
    """Bytes that encoding and decoding pictures of a size takes beside the weights, and where."""
    weight = next(vae.parameters())
    return pictures * decoder_bytes(*size, STRIP, vae.config, weight.dtype), weight.device


def table(result: dict) -> str:
    side = result["side"]
    size = "own sizes" if side is None else f"{side}x{side}"
    rows = {f"{size}, float32": result}
    return "\n".join(tables.copies(rows, "VAE: encoded, decoded, compared"))
