"""From which level of noise on does it matter which picture an instruction names?

    python -m qwenimage_ref.evaluate.edit_numbers NAME=FOLDER ...     2 minutes for each at 60

Editors of several pictures are shown the wanted posters of held-out instructions for two pictures
under noise, once with these instructions and once with picture 1 and 2 exchanged in the words. What
the velocity's error grows by is what the number is worth at this level.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..pipeline import QwenImage
from ..posters.edits import SEVERAL_PICTURES, Edit, edit_of_several
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .edit_time_zero import under_noise
from .editing import FIRST_SEED, MIXTURE
from .intervals import mean_interval
from .survey import LEAST, Progress, terms_of

RECORD = MEASUREMENTS / "edit_numbers.json"
LEVELS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
EXCHANGED = str.maketrans("12", "21")
KINDS = [kind for kind, (pictures, _) in SEVERAL_PICTURES.items() if pictures == 2]


def instructions(count: int) -> list[Edit]:
    """Held-out instructions for two pictures, as many of every kind"""
    return [
        edit_of_several(FIRST_SEED + i, (KINDS[i % len(KINDS)],), MIXTURE) for i in range(count)
    ]


def errors(pipe: QwenImage, wanted: list[Edit]) -> dict[str, list[list[float]]]:
    """-> "own" and "exchanged": for each instruction and level the velocity's mean squared error"""
    losses: dict[str, list[list[float]]] = {"own": [], "exchanged": []}
    for i, asked in enumerate(tqdm(wanted, unit="instruction")):
        other = replace(asked, prompt=asked.prompt.translate(EXCHANGED))
        for name, each in (("own", asked), ("exchanged", other)):
            off = [(v - true).pow(2).mean() for _, v, true in under_noise(pipe, each, i, LEVELS)]
            losses[name].append([round(one.item(), 5) for one in off])
    return losses


def row(losses: dict) -> dict:
    """Means over the instructions with their intervals, level by level"""
    own, exchanged = (np.array(losses[name]) for name in ("own", "exchanged"))
    worth = exchanged - own
    return {name: list(map(mean_interval, each.T)) for name, each in
            (("error", own), ("number's worth", worth))}  # fmt: skip


def measure(folders: dict[str, Path], count: int, record: Path) -> dict:
    """Measure editors by name and write the record. Returns it. Raises ValueError for an editor of
    one picture.
    """
    pipes = {name: QwenImage.from_pretrained(folder) for name, folder in folders.items()}
    for name, pipe in pipes.items():
        if getattr(pipe.form, "most", 1) < 2:
            raise ValueError(f"{folders[name]} must hold an editor of several pictures")
    terms = terms_of(next(iter(pipes.values())), count)
    terms["of each"] = {name: terms_of(pipe, count)["weights"] for name, pipe in pipes.items()}
    progress, wanted = Progress(record, terms), instructions(count)
    for name, pipe in pipes.items():
        progress.measure(name, errors, pipe, wanted)
    rows = {name: row(progress.results[name]) for name in pipes}
    record_of = terms | {"levels": LEVELS, "rows": rows}
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.edit_numbers")
    parser.add_argument("editors", nargs="+", metavar="NAME=FOLDER", help="of several pictures")
    parser.add_argument("--count", type=int, default=60, metavar="N", help="instructions")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    folders = dict(text.partition("=")[::2] for text in options.editors)
    if options.count < LEAST or not all(folders.values()):
        what = f"--count must be at least {LEAST}, got {options.count}"
        named = "editors must be NAME=FOLDER"
        print(what if options.count < LEAST else named, file=sys.stderr)
        return 2
    paths = {name: Path(folder) for name, folder in folders.items()}
    for name, each in measure(paths, options.count, options.to)["rows"].items():
        print(name, *(round(level["mean"], 4) for level in each["number's worth"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
