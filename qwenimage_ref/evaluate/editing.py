"""How well does an editor edit? Instructions obeyed, the rest of the poster left alone.

    python -m qwenimage_ref.evaluate.editing FOLDER      11 minutes at 500 instructions; resumes

Instructions and posters are held out from training, and so is every fourth wanted pair of colour
and shape. The answers are written to data/measurements/editing_NAME.json, NAME being the folder's.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..conditions import EditForm
from ..pipeline import QwenImage
from ..posters.edit_judge import judge
from ..posters.edits import SEVERAL_PICTURES, SINGLE, Edit, edit, edit_of_several
from ..posters.scene import SQUARE, Mixture
from ..posters.understanding import KINDS, Question, answer_score, question
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .edit_paths import GUIDANCE, PATHS, STEPS, on_one_path
from .intervals import interval, mean_interval
from .survey import Progress, terms_of

FIRST_SEED = 60_000_000  # number of the first instruction; no training has it
MIXTURE = Mixture(sizes=(SQUARE,), words=0.6)
PART = 20  # instructions that are painted between two writings of the record


def instructions(count: int) -> list[Edit]:
    """Held-out instructions, as many of every kind; every fourth wants a pair never trained"""
    kinds = list(SINGLE)
    able = ("recolour", "reshape", "add")  # kinds that can make a new pair
    wanted = []
    for i in range(count):
        kind = kinds[i % len(kinds)]
        unseen = kind in able and i // len(kinds) % 4 == 0
        wanted.append(edit(FIRST_SEED + i, (kind,), MIXTURE, unseen=unseen))
    return wanted


def instructions_of_several(count: int, order=None) -> list[Edit]:
    """Held-out instructions for two or three pictures, as many of every kind"""
    kinds = list(SEVERAL_PICTURES)
    each = [(FIRST_SEED + i, (kinds[i % len(kinds)],)) for i in range(count)]
    return [edit_of_several(*one, MIXTURE, order=order) for one in each]


def questions(count: int) -> list[Question]:
    """Held-out questions, as many of every kind"""
    kinds = list(KINDS)
    return [question(FIRST_SEED + i, (kinds[i % len(kinds)],), MIXTURE) for i in range(count)]


def paint(pipe: QwenImage, prompt: str, given: list[np.ndarray], size, seed: int) -> Image.Image:
    """One edited picture of the size (width, height)"""
    width, height = size
    (picture,) = pipe(
        prompt, " ", GUIDANCE, height, width, STEPS, seed,
        image=[Image.fromarray(each) for each in given],
    )  # fmt: skip
    return picture


def answers(pipe: QwenImage, wanted: list[Edit]) -> dict:
    """-> obeyed, untouched and both as a 0 or 1 for each instruction"""
    bits = {"obeyed": "", "untouched": "", "both": ""}
    for i, each in enumerate(tqdm(wanted, unit="picture")):
        picture = paint(pipe, each.prompt, each.pictures, each.target.size, i)
        for name, right in judge(each, picture).items():
            bits[name] += "01"[right]
    return bits


def scores(pipe: QwenImage, asked: list[Question]) -> dict:
    """-> for each kind of question the scores of its answers"""
    numbers: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for i, each in enumerate(tqdm(asked, unit="picture")):
        picture = paint(pipe, each.prompt, [each.picture], each.poster.size, i)
        numbers[each.kind].append(round(answer_score(each, np.asarray(picture)), 4))
    return numbers


def table(bits: dict, wanted: list[Edit]) -> list[dict]:
    """One row for all instructions and one for each kind: shares with their intervals"""
    rows = []
    for kind in (None, *dict.fromkeys(each.kind for each in wanted)):
        places = [i for i, each in enumerate(wanted) if kind in (None, each.kind)]
        shares = {
            name: interval(sum(answer[i] == "1" for i in places), len(places))
            for name, answer in bits.items()
        }
        rows.append({"kind": kind or "all"} | shares)
    return rows


def understanding(numbers: dict[str, list[float]]) -> dict:
    """-> mean IoU of the masks, share of right depth orders, mean PSNR of edges and mirrors"""
    depth = numbers["depth"]
    means = {kind: mean_interval(numbers[kind]) for kind in KINDS if kind != "depth"}
    return means | {"depth": interval(sum(each == 1.0 for each in depth), len(depth))}


def swapped(pipe: QwenImage, count: int) -> dict:
    """Two pictures in either order, with the numbers in the words, and with the words alone kept

    -> answers to the same instructions: straight, turned (pictures and words), pictures (those
    alone: obeying the words then asks for another poster, so that these answers should be no)
    """
    straight, turned = (
        [
            edit_of_several(FIRST_SEED + i, ("colour of 2",), MIXTURE, order=order)
            for i in range(count)
        ]
        for order in ((0, 1), (1, 0))
    )
    # careful: the same numbers in the same words, in front of pictures that have changed places
    only = [replace(one, sources=two.sources) for one, two in zip(straight, turned)]
    named = {"straight": straight, "turned": turned, "pictures": only}
    return {name: answers(pipe, wanted)["obeyed"] for name, wanted in named.items()}


def measure(folder: Path, count: int, record: Path, path: str | None = None) -> dict:
    """Measure one editor and write the record. Returns it. Raises ValueError for a painter.

    path: the one path, "vision" or "vae", on which the editor was trained to see pictures.
    """
    pipe = QwenImage.from_pretrained(folder)
    if not isinstance(pipe.form, EditForm):
        raise ValueError(f"{folder} must hold a model that edits; train one first")
    painter = on_one_path(pipe, path) if path else pipe
    terms = terms_of(pipe, count) | ({"path": path} if path else {})
    progress, wanted = Progress(record, terms), instructions(count)
    for first in range(0, count, PART):
        progress.measure(f"edits {first}", answers, painter, wanted[first : first + PART])
    asked = questions(count // 5)
    progress.measure("questions", scores, painter, asked)
    several = instructions_of_several(count // 2)
    if pipe.form.most > 1:
        progress.measure("several", answers, pipe, several)
        progress.measure("swapped", swapped, pipe, count // 5)
    results = progress.results
    parts = [results[f"edits {first}"] for first in range(0, count, PART)]
    bits = {name: "".join(part[name] for part in parts) for name in parts[0]}
    record_of = terms | {
        "edits": table(bits, wanted),
        "answers": bits,
        "understanding": understanding(results["questions"]),
    }
    if pipe.form.most > 1:
        shares = {name: interval(b.count("1"), len(b)) for name, b in results["swapped"].items()}
        record_of |= {"several": table(results["several"], several), "swapped": shares}
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.editing")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an official edit folder")
    parser.add_argument("--count", type=int, default=500, metavar="N", help="instructions")
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="default data/measurements/editing_NAME.json"
    )
    help = "on which alone the editor was trained to see pictures; default: both"
    parser.add_argument("--path", choices=PATHS, help=help)
    options = parser.parse_args(arguments)
    if options.count < 40:
        print(f"--count must be at least 40, got {options.count}", file=sys.stderr)
        return 2
    record = options.to or MEASUREMENTS / f"editing_{options.folder.name}.json"
    for row in measure(options.folder, options.count, record, options.path)["edits"]:
        print(row["kind"], *(row[name]["share"] for name in ("obeyed", "untouched", "both")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
