"""Everything to be computed again after new pocket weights, except the notebooks.

What is measured of these weights already is skipped; `make derived` runs this and then builds the
notebooks. How long each part took is printed. With nothing stored it takes hours, most of them for
the ablations, in which a smaller sibling is trained again and again; surveys and trainings resume
where they were stopped.

The variants of chapters 24 to 27, one-step students and the network that writes LoRAs are not
trained, because that takes hours more and what is kept in data/variants is chosen by hand.
trained_apart.py lists them; where they belong to older weights, the last lines say so, with the
commands that train and measure them again.
"""

import json
import time

import numpy as np
from PIL import Image

from ...evaluate import (
    ablations,
    adapted,
    best_of,
    causal_tracing,
    editing,
    few_steps,
    geneval,
    held_out,
    painting_over,
    precision,
    preferred,
    rewarded,
    rewriting,
    settings,
    waking,
)
from ...evaluate.score import Trial, contact_sheet, paint, table
from ...evaluate.second_edition import SECOND, evaluate
from ...evaluate.survey import has_terms, terms_of
from ...pictures import sheet, write_picture
from ...pipeline import QwenImage
from ...pocket import first_grid, lightning, sibling
from ...pocket.variants import open_variant
from ...posters.draw import Scene, Shape, caption, font
from ...posters.read import read
from ...posters.scene import SEVERAL, SIZES
from ...provenance import write_record
from ...repository import DATA, in_a_clone
from .. import labels
from ..figures import training_curves
from .trained_apart import stale

SHOWN = 64  # random pictures on the sheet, never picked by hand
FAILURES = 24  # pictures on the sheet of failures: the first ones met, not the worst
CAPTIONS = 1000  # captions of the score: ten minutes on two cores
ASKED = 100  # captions of each of GenEval's categories
CURVES = "two curves: the VAE's PSNR rises; the painter's loss falls in each lesson"
COMMANDS = (
    lightning,
    settings,
    few_steps,
    precision,
    rewriting,
    painting_over,
    best_of,
    preferred,
    ablations,
    sibling,
    adapted,
)
ANEW = (causal_tracing, waking)  # commands that measure anew whenever they are called
LARGEST = tuple(max(sides) for sides in zip(*SIZES))
EDITS = 16  # instructions on the sheet of edits: the first held-out ones, two of each kind
RED, BLUE, YELLOW = Shape("circle", "red"), Shape("star", "blue"), Shape("star", "yellow")
SHOWCASE = (  # the pictures at the top of the README
    Scene("white", (RED, BLUE), "left of", "QWEN", (176, 96)),
    Scene("navy", (YELLOW,) * 3, SEVERAL, "", (160, 112)),
    Scene("beige", (Shape("triangle", "green"), Shape("square", "purple")), "above", "", (96, 176)),
    Scene("mint", (Shape("ring", "black"),), "small centre", "2026"),
    Scene("sky", (Shape("diamond", "pink"), Shape("ring", "red")), "left of", "大山", (144, 112)),
    Scene("gray", (Shape("square", "orange"),), "large", "A1", (112, 144)),
    Scene("white", (Shape("triangle", "blue"),) * 4, SEVERAL, "", (112, 160)),
    Scene("navy", (Shape("ring", "pink"), Shape("circle", "orange")), "above", "三水"),
)


def labelled(picture: Image.Image, label: str, scale: int = 1, size=LARGEST) -> np.ndarray:
    """A picture `scale` times as large, centred on a tile, its prompt below -> (H, W, 3) uint8

    size: width and height of the largest picture that has to fit on a tile.
    """
    letters = font(6 + 2 * scale)
    width, height = (side * scale for side in size)
    tile = Image.new("RGB", (width + 6, height + 4 * letters.size + 12), "white")
    large = picture.resize([side * scale for side in picture.size], Image.Resampling.NEAREST)
    tile.paste(large, (3 + (width - large.width) // 2, 3 + height - large.height))
    for n, line in enumerate(labels.wrap(label, width, letters)[:4]):
        labels.write(tile, 3, height + 5 + n * (letters.size + 1), line, (60, 60, 60), letters)
    return np.asarray(tile)


def describe(trial: Trial) -> str:
    """The label's font has no Chinese sentences: a Chinese prompt is given by its English twin."""
    english = caption(trial.scene, "en").replace(" background", "").replace("with the text ", "")
    return f"[zh] {english}" if trial.language == "zh" else english


def misread(trial: Trial, picture: Image.Image) -> str:
    """What was asked for, then what `read` finds instead"""
    seen = read(picture).scene
    shapes = ", ".join(f"{shape.colour or '?'} {shape.name or '?'}" for shape in seen.shapes)
    word = f' "{seen.word}"' if seen.word else ""
    return f"{describe(trial)} | seen: {shapes or 'no shape'}{word}"


def showcase(pipe) -> None:
    """The pictures at the top of the README, and the first ones of the course."""
    trials = [
        Trial(scene, language, caption(scene, language), seed)
        for seed, (scene, language) in enumerate(zip(SHOWCASE, ("en", "en", "zh", "en") * 2))
    ]
    prompts = [("[zh] " if t.language == "zh" else "") + caption(t.scene) for t in trials]
    tiles = [labelled(p, line, scale=2) for p, line in zip(paint(pipe, trials), prompts)]
    write_picture(contact_sheet(tiles, columns=4), "showcase.png")
    # every colour kept: notebook 00 compares its own grid with this one to 1/255
    first = first_grid.sheet(first_grid.paint(pipe))
    first.save(DATA / "pictures" / "first_grid.png", optimize=True)


def score(pipe) -> None:
    """The score on held-out captions with its sheets of random pictures and of failures."""
    trials = held_out.trials(CAPTIONS)
    shown = trials[:SHOWN]
    tiles = [labelled(p, describe(t)) for p, t in zip(paint(pipe, shown), shown)]
    write_picture(contact_sheet(tiles), "random.png")
    result = evaluate(pipe, CAPTIONS)
    write_record(result, DATA / "measurements" / "pocket_eval.json")
    print(table(result))
    failed = [trials[number] for number in result["wrong"][:FAILURES]]
    tiles = [labelled(p, misread(t, p)) for p, t in zip(paint(pipe, failed), failed)]
    write_picture(contact_sheet(tiles), "failures.png")


def curves(pipe) -> None:
    """How the training went."""
    training = json.loads((DATA / "pocket" / "training.json").read_text(encoding="utf-8"))
    figure = training_curves.training(training, CURVES)
    (DATA / "pictures" / "training.png").write_bytes(figure.data)


def categories(pipe) -> None:
    """GenEval's six questions."""
    result = geneval.evaluate(pipe, SECOND, ASKED)
    write_record(result, DATA / "measurements" / "geneval.json")
    print(geneval.table(result))


def edits(pipe) -> None:
    """What the editor makes of instructions, beside the posters that it was given."""
    editor, tiles = open_variant("edit"), []
    for i, each in enumerate(editing.instructions(EDITS)):
        answer = editing.paint(editor, each.prompt, each.pictures, each.target.size, i)
        pair = sheet([each.pictures[0], answer], columns=2, gap=4)
        label = each.prompt if each.prompt.isascii() else f"[zh] {each.kind}"
        tiles.append(labelled(pair, label, size=pair.size))
    write_picture(contact_sheet(tiles, columns=4), "edits.png")


@in_a_clone
def main() -> None:
    held_out.main()
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    for part in (showcase, curves, score, categories, edits):
        _timed(part, pipe)
    weights = terms_of(pipe, 0)["weights"]
    for command in COMMANDS:
        _timed(command.main, [])
    for command in ANEW:
        if not has_terms(command.RECORD, {"weights": weights}):
            _timed(command.main, [])
    _timed(preferred.main, ["--beta", "100", "--seeds", "0"])
    for words in ("", "--beta 0", "--beta 0.01 --seeds 2", "--beta 0.05 --seeds 2"):
        _timed(rewarded.main, [*words.split(), "--captions", "40"])
    for line in stale(weights):
        print(line)


def _timed(part, argument) -> None:
    start = time.monotonic()
    part(argument)
    print(f"{part.__module__}.{part.__name__}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
