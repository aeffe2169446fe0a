"""Everything to be computed again after new pocket weights, except the notebooks.

An hour on two cores; what is measured of these weights already is skipped. `make derived`
runs this and then builds the notebooks. A LoRA belongs to its weights, too: pocket/lightning.py,
another half hour, comes first.
"""

import json
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from ...evaluate import (
    best_of,
    few_steps,
    precision,
    preferred,
    rewarded,
    rewriting,
    settings,
)
from ...evaluate.score import Trial, contact_sheet, evaluate, paint, table, trials
from ...pictures import write_picture
from ...pipeline import QwenImage
from ...pocket import first_grid
from ...posters.draw import SIDE, Scene, Shape, caption, font
from ...posters.read import read
from ...provenance import write_record
from ...repository import DATA, in_a_clone
from ..figures import training_curves

SHOWN = 64  # random pictures on the sheet, never picked by hand
FAILURES = 24  # pictures on the sheet of failures: the first ones met, not the worst
CAPTIONS = 1000  # captions of the score: five minutes on two cores
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
    """What was asked for, then what `read` finds instead"""
    seen = read(picture).scene
    shapes = ", ".join(f"{shape.colour or '?'} {shape.name or '?'}" for shape in seen.shapes)
    word = f' "{seen.word}"' if seen.word else ""
    return f"{describe(trial)} | seen: {shapes or 'no shape'}{word}"


@in_a_clone
def main() -> None:
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    showcase = [Trial(scene, "en", caption(scene), seed) for seed, scene in enumerate(SHOWCASE)]
    tiles = [labelled(p, t.prompt, scale=2) for p, t in zip(paint(pipe, showcase), showcase)]
    write_picture(contact_sheet(tiles, columns=4), "showcase.png")
    # every colour kept: notebook 00 compares its own grid with this one to 1/255
    first = first_grid.sheet(first_grid.paint(pipe))
    first.save(DATA / "pictures" / "first_grid.png", optimize=True)
    trial_list = trials(CAPTIONS)
    shown = trial_list[:SHOWN]
    tiles = [labelled(p, describe(t)) for p, t in zip(paint(pipe, shown), shown)]
    write_picture(contact_sheet(tiles), "random.png")
    training = json.loads((DATA / "pocket" / "training.json").read_text(encoding="utf-8"))
    (DATA / "pictures" / "training.png").write_bytes(
        training_curves.training(training, CURVES).data
    )
    result = evaluate(pipe, CAPTIONS)
    write_record(result, DATA / "measurements" / "pocket_eval.json")
    print(table(result))
    failed = [trial_list[number] for number in result["wrong"][:FAILURES]]
    tiles = [labelled(p, misread(t, p)) for p, t in zip(paint(pipe, failed), failed)]
    write_picture(contact_sheet(tiles), "failures.png")
    for survey in (settings, few_steps, precision, rewriting, best_of, preferred, rewarded):
        survey.main([])


if __name__ == "__main__":
    main()
