"""Where does an edited shape land if the picture is half as large as the target?

    python -m qwenimage_ref.evaluate.edit_displaced FOLDER --lora FILE     3 minutes; resumes

The VAE's copy has half the target's sides, the vision tower's its usual size. Its rows and columns
are centred as in the released models, or spread over the target as Edit-Lowres-Fix wants it; at
last with the LoRA that goes with this, of pocket/lowres.py. The displacements are written to
data/measurements/edit_displaced.json.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..adapt import lora
from ..conditions import spread_positions
from ..pipeline import QwenImage
from ..posters.edits import Edit, edit
from ..posters.read import read
from ..posters.scene import SIDE, SQUARE, Mixture
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .edit_paths import paint
from .intervals import interval
from .survey import Progress, editor_command, terms_of

RECORD = MEASUREMENTS / "edit_displaced.json"
FIRST_SEED = 62_000_000  # number of the first instruction; no training has it
MIXTURE = Mixture(sizes=(SQUARE,), words=0.0)
WAYS = {  # side of the VAE's copy over the target's, and positions
    "equal size": (1, None),
    "half, centred": (2, None),
    "half, spread": (2, spread_positions),
}
ADAPTED = "half, spread, LoRA"


def instructions(count: int) -> list[Edit]:
    """Held-out changes of the background behind one shape on the left or on the right"""
    wanted, seed = [], FIRST_SEED
    while len(wanted) < count:
        each = edit(seed, ("background",), MIXTURE)
        seed += 1
        if len(each.target.spots) == 1 and abs(each.target.spots[0][0] - SIDE / 2) > SIDE / 8:
            wanted.append(each)
    return wanted


def inward(x: float, wanted: float) -> float:
    """Pixels by which x lies nearer to the middle than the wanted column"""
    return (x - wanted) * (1 if wanted < SIDE / 2 else -1)


def centred(wanted: float) -> float:
    """The displacement inward if a half-sized copy lies in the middle of the target"""
    return inward(wanted / 2 + SIDE / 4, wanted)


def displacements(pipe: QwenImage, asked: list[Edit], way: str) -> list:
    """-> for each poster the displacement inward in pixels; None where no shape is found"""
    shrunk, positions = WAYS[way] if way in WAYS else WAYS["half, spread"]
    pipe.form = dataclasses.replace(pipe.form, auto_resize=False)
    moved = []
    for seed, each in enumerate(tqdm(asked, unit="picture")):
        poster = Image.fromarray(each.pictures[0])
        small = poster.resize((SIDE // shrunk,) * 2, Image.Resampling.LANCZOS)
        painted = paint(pipe, each.prompt, [poster], [small], (SIDE, SIDE), seed, positions)
        regions = read(np.asarray(painted)).regions
        largest = max(regions, key=lambda region: region.radius, default=None)
        wanted = each.target.spots[0][0]
        moved.append(None if largest is None else round(float(inward(largest.x, wanted)), 1))
    return moved


def nearer(moved: list, asked: list[Edit]) -> dict:
    """Share of the shapes that are nearer to the scaled place than to the centred one"""
    halves = [centred(each.target.spots[0][0]) / 2 for each in asked]
    pairs = [(pixels, half) for pixels, half in zip(moved, halves) if pixels is not None]
    return interval(sum(pixels < half for pixels, half in pairs), len(pairs))


def measure(folder: Path, count: int, record: Path, adapter: Path | None = None) -> dict:
    """Measure an editor, and with a file its LoRA, too, and write the record. Returns it."""
    pipe = QwenImage.from_pretrained(folder)
    asked = instructions(count)
    terms = terms_of(pipe, count)
    progress = Progress(record, terms)
    for way in WAYS:
        progress.measure(way, displacements, pipe, asked, way)
    ways = list(WAYS)
    if adapter is not None:
        lora.load(pipe.transformer, adapter)
        progress.measure(ADAPTED, displacements, pipe, asked, ADAPTED)
        ways.append(ADAPTED)
    moved = {way: progress.results[way] for way in ways}
    record_of = terms | {
        "if centred": [round(float(centred(each.target.spots[0][0])), 1) for each in asked],
        "inward": moved,
        "nearer to scaled": {way: nearer(each, asked) for way, each in moved.items()},
    }
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    record = editor_command("edit_displaced", "posters", 40, RECORD, measure, arguments, lora=True)
    if record is None:
        return 2
    for way, share in record["nearer to scaled"].items():
        print(way, share["share"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
