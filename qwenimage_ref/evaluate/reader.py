"""How good is the judge? The reader on true posters of the second edition, and on damaged ones.

python -m qwenimage_ref.evaluate.reader     2,000 posters of each size and damage, ten minutes
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from ..posters.draw import draw
from ..posters.read import read
from ..posters.scene import BACKGROUNDS, SIZES, Mixture, Scene, sample
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .intervals import interval

RECORD = MEASUREMENTS / "reader.json"
SEED = 40_000_000  # posters from here on are read, and are in no training
QUALITY = 40  # JPEG's, 1 to 95
NOISE = 12  # standard deviation, of 255
BLUR = 1.0  # pixels, standard deviation
HARD = Mixture(words=0.7, counting=0.35, chinese=0.5, backgrounds=tuple(BACKGROUNDS))


def jpeg(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, compressed and decompressed"""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))


def noise(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 -> the same under Gaussian noise"""
    noisy = picture + np.random.default_rng(seed).normal(0, NOISE, picture.shape)
    return noisy.round().clip(0, 255).astype(np.uint8)


def blur(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 -> the same under a Gaussian blur"""
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(BLUR)))


DAMAGES: dict[str, Callable] = {
    "none": lambda picture, seed: picture,
    "jpeg": jpeg,
    "noise": noise,
    "blur": blur,
}


def misread(size: tuple[int, int], damage: Callable, seeds) -> tuple[list[Scene], float, float]:
    """Scenes that are read as others, and processor milliseconds for drawing and for reading one"""
    wrong, drawing, reading = [], 0.0, 0.0
    for seed in seeds:
        scene = sample(seed, HARD, unseen=None, size=size)
        start = time.process_time()
        picture = draw(scene, seed)
        drawing += time.process_time() - start
        picture = damage(picture, seed)
        start = time.process_time()
        if read(picture).scene != scene:
            wrong.append(scene)
        reading += time.process_time() - start
    return wrong, 1000 * drawing / len(seeds), 1000 * reading / len(seeds)


def measure(count: int, quiet: bool = False) -> dict:
    """-> {"176x96 jpeg": share read right, its 95 % interval, milliseconds}, and so on"""
    kinds = [(size, name) for name in DAMAGES for size in SIZES]
    rows = {}
    for size, name in tqdm(kinds, unit="kind", disable=quiet):
        wrong, drawing, reading = misread(size, DAMAGES[name], range(SEED, SEED + count))
        times = {"drawing_ms": round(drawing, 2), "reading_ms": round(reading, 2)}
        rows[f"{size[0]}x{size[1]} {name}"] = interval(count - len(wrong), count) | times
    return {"posters": count, "jpeg": QUALITY, "noise": NOISE, "blur": BLUR, "rows": rows}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.reader")
    parser.add_argument("--posters", type=int, default=2000, help="of each kind; default 2000")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    result = measure(options.posters)
    write_record(result, options.to)
    for kind, row in result["rows"].items():
        print(f"{kind:16} {row['right']:5} of {row['of']}   {row['reading_ms']:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
