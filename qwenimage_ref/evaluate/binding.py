"""Does every shape get its own colour and place? Captions alone against regions.

    python -m qwenimage_ref.evaluate.binding FILE WHOLE     the LoRAs of pocket.regional; resumes

Held-out posters of two, three and four different shapes are painted from the prompt of the whole
alone, and with a prompt for each box; then with the boxes moved, from the same noise. WHOLE was
trained as FILE was, without regions: what it gains is due to the posters and not to the boxes. Two
shapes are also painted from a caption as the base knows it, which says which is left or above. The
answers are written to data/measurements/binding.json.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..adapt import lora
from ..pipeline import QwenImage
from ..pocket.variants import VARIANTS
from ..posters.crowded import Crowded, crowded, judge, moved
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from .intervals import interval
from .survey import Progress, terms_of

RECORD = MEASUREMENTS / "binding.json"
STORED = VARIANTS / "eligen.safetensors"  # the LoRA, among the variants of this repository
FIRST_SEED = 90_000_000  # number of the first poster; no training has it
COUNTS = (2, 3, 4)
STEPS, GUIDANCE = 20, 4.0
ALONE, KNOWN, WHOLE = "caption alone", "caption in known words", "LoRA without regions"
REGIONS, MOVED = "regions", "regions, moved"


def posters(count: int) -> list[Crowded]:
    """Held-out posters, as many of each number of shapes"""
    return [crowded(FIRST_SEED + i, COUNTS[i % len(COUNTS)]) for i in range(count)]


def measure(pipe: QwenImage, asked: list[Crowded], way: str) -> list[dict]:
    """-> what of each poster came out, painted in one of the ways above"""
    answers, regions = [], way in (REGIONS, MOVED)
    for i, poster in enumerate(tqdm(asked, unit="picture")):
        given = {"regions": poster.regions} if regions else {}
        options = {"num_inference_steps": STEPS, "seed": i, "true_cfg_scale": GUIDANCE}
        prompt = poster.related if way == KNOWN else poster.prompt
        picture: Image.Image = pipe(prompt, " ", **options, **given)[0]
        answers.append(judge(poster, picture))
    return answers


def rows(answers: list[dict]) -> list[dict]:
    """One row for each number of shapes that occurs, with shares and intervals

    right: of the shapes, those that are there in their colour; bound: those in their own box; all:
    of the posters, those with every shape right and none too many.
    """
    table = []
    for count in COUNTS:
        mine = [each for each in answers if each["of"] == count]
        if not mine:
            continue
        shapes = count * len(mine)
        whole = sum(each["right"] == count and each["count"] for each in mine)
        table.append(
            {
                "shapes": count,
                "right": interval(sum(each["right"] for each in mine), shapes),
                "bound": interval(sum(each["bound"] for each in mine), shapes),
                "all": interval(whole, len(mine)),
            }
        )
    return table


def recorded(file: Path = RECORD) -> dict[str, list[dict]]:
    """The tables of the record, one for each way of painting; none without a record"""
    return json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else {}


@contextmanager
def worn(pipe: QwenImage, file: Path | None):
    """The pipeline with the LoRA of a file on its transformer, None: without"""
    if file:
        lora.load(pipe.transformer, file)
    yield
    for adapter in lora.adapters(pipe.transformer):
        adapter.remove()


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.binding")
    parser.add_argument("lora", type=Path, metavar="FILE")
    parser.add_argument("whole", type=Path, metavar="WHOLE", help="trained without regions")
    parser.add_argument("--count", type=int, default=180, metavar="N", help="posters")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.count < len(COUNTS):
        print(f"--count must be at least {len(COUNTS)}, got {options.count}", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(options.base)
    terms, asked = terms_of(pipe, options.count), posters(options.count)
    progress = Progress(options.to, terms)
    pairs = [poster for poster in asked if len(poster.placed.shapes) == 2]
    elsewhere = [moved(poster, i) for i, poster in enumerate(asked)]
    ways = {ALONE: (None, asked), KNOWN: (None, pairs), WHOLE: (options.whole, asked),
            REGIONS: (options.lora, asked), MOVED: (options.lora, elsewhere)}  # fmt: skip
    for way, (file, each) in ways.items():
        with worn(pipe, file):
            progress.measure(way, measure, pipe, each, way)
    tables = {way: rows(progress.results[way]) for way in ways}
    write_record(terms | {"rows": tables, "answers": progress.results}, options.to)
    progress.file.unlink()
    for name, table in tables.items():
        for row in table:
            shares = (row[part]["share"] for part in ("right", "bound", "all"))
            print(name, row["shapes"], *shares)
    return 0


if __name__ == "__main__":
    sys.exit(main())
