"""What survives five edits in a row? Each editor's result is edited again, five times.

    python -m qwenimage_ref.evaluate.edit_chains FOLDER      4 minutes at 24 chains; resumes

Every chain is painted twice: with each picture made from the last *result*, and, for comparison,
from the poster that the last instruction asked for, so that no error is carried along. The shares
are written to data/measurements/edit_chains.json.
"""

import math
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..pipeline import QwenImage
from ..posters.draw import Placed
from ..posters.edit_chains import KINDS, chain
from ..posters.edit_judge import NEAR
from ..posters.edits import Edit
from ..posters.read import read
from ..posters.scene import SQUARE, Mixture
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .editing import paint
from .intervals import interval, mean_interval, paired
from .survey import Progress, editor_command, terms_of

RECORD = MEASUREMENTS / "edit_chains.json"
FIRST_SEED = 61_000_000  # number of the first chain; no training has it
MIXTURE = Mixture(sizes=(SQUARE,), words=1.0)
PART = 4  # chains that are painted between two writings of the record
TRAITS = ("colour", "form", "place", "word", "background")
STARTS = ("own result", "wanted poster")  # what is edited from the second instruction on


def traits(wanted: Placed, picture: np.ndarray) -> dict[str, bool]:
    """Which traits of a poster with one shape a picture (H, W, 3) shows, by the exact reader

    The shape is the largest one that is found; without any, its three traits are missing.
    """
    reading = read(picture)
    region = max(reading.regions, key=lambda each: each.radius, default=None)
    (shape,), ((x, y, _),) = wanted.shapes, wanted.spots
    return {
        "colour": region is not None and region.colour == shape.colour,
        "form": region is not None and region.name == shape.name,
        "place": region is not None and math.dist((region.x, region.y), (x, y)) <= NEAR,
        "word": reading.scene.word == wanted.word,
        "background": reading.scene.background == wanted.background,
    }


def links(pipe: QwenImage, edits: list[Edit], seed: int, start: str, first=0) -> list[dict]:
    """The traits after each instruction from number `first` on, and the distance to its goal"""
    rows, picture = [], edits[first].pictures[0]
    for number, each in enumerate(edits[first:], first):
        given = picture if start == STARTS[0] else each.pictures[0]
        painted = paint(pipe, each.prompt, [given], each.target.size, 10 * seed + number)
        picture = np.asarray(painted)
        away = np.abs(picture.astype(float) - each.wanted).mean()
        rows.append(traits(each.target, picture) | {"away": round(float(away), 2)})
    return rows


def chains(pipe: QwenImage, first: int, count: int) -> dict:
    """-> for each of STARTS the links of `count` chains, from number `first` on"""
    rows: dict[str, list] = {start: [] for start in STARTS}
    for number in tqdm(range(first, first + count), unit="chain"):
        edits = chain(FIRST_SEED + number, MIXTURE)
        own, wanted = STARTS
        rows[own].append(links(pipe, edits, number, own))
        # both begin with the same picture
        rows[wanted].append(rows[own][-1][:1] + links(pipe, edits, number, wanted, first=1))
    return rows


def table(rows: list[list[dict]]) -> list[dict]:
    """Links of all chains -> for each link the share of every trait, of all five, the distance"""
    lines = []
    for link in range(len(KINDS)):
        of_link = [chain[link] for chain in rows]
        shares = {
            name: interval(sum(row[name] for row in of_link), len(of_link)) for name in TRAITS
        }
        whole = sum(all(row[name] for name in TRAITS) for row in of_link)
        away = mean_interval([row["away"] for row in of_link])
        lines.append(shares | {"all": interval(whole, len(of_link)), "away": away})
    return lines


def measure(folder: Path, count: int, record: Path) -> dict:
    """Measure an editor and write the record. Returns it."""
    pipe = QwenImage.from_pretrained(folder)
    terms = terms_of(pipe, count)
    progress = Progress(record, terms)
    for first in range(0, count, PART):
        progress.measure(f"chains {first}", chains, pipe, first, min(PART, count - first))
    parts = [progress.results[f"chains {first}"] for first in range(0, count, PART)]
    rows = {start: [chain for part in parts for chain in part[start]] for start in STARTS}
    last = [[all(chain[-1][name] for name in TRAITS) for chain in rows[start]] for start in STARTS]
    record_of = terms | {
        "after": {start: table(rows[start]) for start in STARTS},
        "last": paired(*last),  # all traits after the last instruction: own results minus wanted
    }
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    record = editor_command("edit_chains", "chains", 24, RECORD, measure, arguments)
    if record is None:
        return 2
    for start, lines in record["after"].items():
        print(start, *(line["all"]["share"] for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
