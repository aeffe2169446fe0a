"""How well is a poster taken apart? Alpha, colours, and the layers put together again.

    python -m qwenimage_ref.evaluate.layering FOLDER     a layered model's; resumes

Held-out posters of two to four layers are taken apart with their captions. The answers are written
to data/measurements/layering.json.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..conditions import LayeredForm
from ..pipeline import QwenImage
from ..posters.layers import Layered, judge, layered
from ..posters.scene import SMALL, Mixture
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from ..tasks.layers import decompose
from .intervals import interval, mean_interval
from .survey import Progress, terms_of

RECORD = MEASUREMENTS / "layering.json"
FIRST_SEED = 80_000_000  # number of the first poster; no training has it
MIXTURE = Mixture(sizes=(SMALL,), words=0.7, counting=0.0)
COUNTS = (2, 3, 4)
STEPS, GUIDANCE = 20, 1.0  # guidance of 4 gave alpha and colours further off


def posters(count: int) -> list[Layered]:
    """Held-out posters, as many of each number of layers"""
    return [layered(FIRST_SEED + i, COUNTS[i % len(COUNTS)], MIXTURE) for i in range(count)]


def measure(pipe: QwenImage, asked: list[Layered]) -> dict:
    """-> for each poster: layers, iou, colours, psnr"""
    numbers: dict[str, list] = {"layers": [], "iou": [], "colours": [], "psnr": []}
    for i, poster in enumerate(tqdm(asked, unit="poster")):
        picture = Image.fromarray(poster.picture)
        painted = decompose(
            pipe, picture, poster.prompt, " ", GUIDANCE, poster.count, STEPS, seed=i
        )
        result = judge(poster, [np.asarray(each) for each in painted])
        numbers["layers"].append(poster.count)
        for name, number in result.items():
            numbers[name].append(round(float(number), 4))
    return numbers


def rows(numbers: dict[str, list]) -> list[dict]:
    """One row for all posters and one for each number of layers, with intervals"""
    table = []
    for count in (None, *COUNTS):
        places = [i for i, each in enumerate(numbers["layers"]) if count in (None, each)]
        right = sum(numbers["colours"][i] for i in places)
        means = {
            name: mean_interval([numbers[name][i] for i in places]) for name in ("iou", "psnr")
        }
        row = {"layers": count or "all", "colours": interval(int(right), len(places))}
        table.append(row | means)
    return table


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.layering")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a layered model's")
    parser.add_argument("--count", type=int, default=150, metavar="N", help="posters")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.folder)
    if options.count < 2 * len(COUNTS) or not isinstance(pipe.form, LayeredForm):
        print(
            f"{options.folder} must hold a layered model and --count be at least "
            f"{2 * len(COUNTS)}, got {options.count}; train one first",
            file=sys.stderr,
        )
        return 2
    terms = terms_of(pipe, options.count)
    progress = Progress(options.to, terms)
    progress.measure("posters", measure, pipe, posters(options.count))
    table = rows(progress.results["posters"])
    write_record(terms | {"rows": table, "posters": progress.results["posters"]}, options.to)
    progress.file.unlink()
    for row in table:
        print(row["layers"], row["iou"]["mean"], row["colours"]["share"], row["psnr"]["mean"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
