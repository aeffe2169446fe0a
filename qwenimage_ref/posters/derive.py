"""Everything that has to be made again after new pocket weights, except the notebooks.

Half an hour on two cores; what is measured of these weights already is skipped. `make derived`
runs this and then builds the notebooks. A LoRA belongs to its weights, too: posters/lightning.py,
another half hour, comes first.
"""

import json
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..course import curves
from ..pipeline import QwenImage
from . import few_steps, first_grid, precision, sweeps
from .draw import SIDE, Scene, Shape, caption, font
from .evaluate import Trial, contact_sheet, evaluate, paint, record, table, trials
from .read import read

DATA = Path(__file__).parents[2] / "data"
SHOWN = 64  # random pictures on the sheet, never picked by hand
FAILURES = 24  # on the sheet of what is still wrong: the first ones met, not the worst
CAPTIONS = 1000  # of the score: five minutes on two cores
CURVES = "two curves: the VAE's PSNR rises to 38 dB; the painter's loss falls in each lesson"
SHOWCASE = (  # the pictures at the top of the README
    Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of", "QWEN"),
    Scene("navy", (Shape("star", "yellow"),), "large"),
    Scene("beige", (Shape("triangle", "green"), Shape("square", "purple")), "above"),
    Scene("mint", (Shape("ring", "black"),), "small centre", "2026"),
    Scene("sky", (Shape("diamond", "pink"), Shape("ring", "red")), "left of", "HI"),
    Scene("gray", (Shape("square", "orange"),), "large", "A1"),
    Scene("white", (Shape("triangle", "blue"),), "small right"),
    Scene("navy", (Shape("ring", "pink"), Shape("circle", "orange")), "above", "GO"),
)


def labelled(picture: Image.Image, label: str, scale: int = 1) -> np.ndarray:
    """A picture `scale` times as large, its prompt below -> (H, W, 3) uint8"""
    side, letters = SIDE * scale, 6 + 2 * scale  # pixels
    tile = Image.new("RGB", (side + 6, side + 5 * letters + 4), "white")
    tile.paste(picture.resize((side, side), Image.Resampling.NEAREST), (3, 3))
    lines = textwrap.wrap(label, side // letters + 8 * scale)
    ImageDraw.Draw(tile).multiline_text(
        (3, side + 5), "\n".join(lines), (60, 60, 60), font(letters), spacing=1
    )
    return np.asarray(tile)


def describe(trial: Trial) -> str:
    """The label's font has no Chinese letters, so a Chinese prompt is given by its English twin."""
    english = caption(trial.scene, "en").replace(" background", "").replace("with the text ", "")
    return f"[zh] {english}" if trial.language == "zh" else english


def misread(trial: Trial, picture: Image.Image) -> str:
    """What was asked for, then what the reader sees instead"""
    seen = read(picture).scene
    shapes = ", ".join(f"{shape.colour or '?'} {shape.name or '?'}" for shape in seen.shapes)
    word = f' "{seen.word}"' if seen.word else ""
    return f"{describe(trial)} | seen: {shapes or 'no shape'}{word}"


def write(picture: np.ndarray, name: str) -> None:
    """A palette of 256 colours keeps flat pictures small without a visible difference."""
    file = DATA / "pictures" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.relative_to(DATA.parent))


def main() -> None:
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    showcase = [Trial(scene, "en", caption(scene), seed) for seed, scene in enumerate(SHOWCASE)]
    tiles = [labelled(p, t.prompt, scale=2) for p, t in zip(paint(pipe, showcase), showcase)]
    write(contact_sheet(tiles, columns=4), "showcase.png")
    # every colour kept: notebook 00 compares its own grid with this one to 1/255
    first = first_grid.sheet(first_grid.paint(pipe))
    first.save(DATA / "pictures" / "first_grid.png", optimize=True)
    made = trials(CAPTIONS)
    shown = made[:SHOWN]
    tiles = [labelled(p, describe(t)) for p, t in zip(paint(pipe, shown), shown)]
    write(contact_sheet(tiles), "random.png")
    training = json.loads((DATA / "pocket" / "training.json").read_text(encoding="utf-8"))
    (DATA / "pictures" / "training.png").write_bytes(curves.training(training, CURVES).data)
    result = evaluate(pipe, CAPTIONS)
    record(result, DATA / "measurements" / "pocket_eval.json")
    print(table(result))
    failed = [made[number] for number in result["wrong"][:FAILURES]]
    tiles = [labelled(p, misread(t, p)) for p, t in zip(paint(pipe, failed), failed)]
    write(contact_sheet(tiles), "failures.png")
    for survey in (sweeps, few_steps, precision):
        survey.main([])


if __name__ == "__main__":
    main()
