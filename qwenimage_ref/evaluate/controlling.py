"""How well is a control picture followed? Contours, and whether scene and word are still right.

    python -m qwenimage_ref.evaluate.controlling FOLDER     the files of pocket.controls; resumes

Held-out posters are painted from their captions alone, and with each kind of control by their
edges. The answers are written to data/measurements/controlling.json.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from ..adapt import lora
from ..adapt.control_files import load
from ..controlled import ControlledQwenImage
from ..pipeline import QwenImage
from ..pocket.variants import VARIANTS
from ..posters.captions import caption
from ..posters.draw import Placed, place
from ..posters.read import score, silhouette
from ..posters.scene import SQUARE, Mixture, Scene, sample
from ..posters.understanding import coverage, edges
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..tasks.control import Control
from ..tasks.regions import context_prompt
from .intervals import interval, mean_interval, paired
from .survey import Progress, terms_of

RECORD = MEASUREMENTS / "controlling.json"
FIRST_SEED = 70_000_000  # number of the first poster; no training has it
MIXTURE = Mixture(sizes=(SQUARE,), words=0.6)
STEPS, GUIDANCE = 20, 4.0
ALONE = "caption alone"
KINDS = UNION, BLOCKWISE, IN_CONTEXT = "union", "blockwise", "in-context"
WIDE = 2  # pixels on either side of a contour that still count as it


def posters(count: int) -> list[tuple[Scene, Placed]]:
    """Held-out scenes, and where everything in them stands"""
    scenes = [sample(FIRST_SEED + i, MIXTURE) for i in range(count)]
    return [(scene, place(scene, FIRST_SEED + i)) for i, scene in enumerate(scenes)]


def contours(inside: np.ndarray) -> np.ndarray:
    """(H, W) of a silhouette -> (H, W), true near its outline"""
    line = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
    return ndimage.binary_dilation(line, iterations=WIDE)


def likeness(asked: Placed, picture: np.ndarray) -> float:
    """IoU of the contours that were asked for and those that were painted, 0 to 1"""
    wanted = np.zeros(asked.size[::-1], bool)
    for i in range(len(asked.shapes)):
        wanted |= coverage(asked, i) > 0.5
    wanted, painted = contours(wanted), contours(silhouette(picture))
    return float((wanted & painted).sum() / max(1, (wanted | painted).sum()))


def measure(painted: Callable[[str, Image.Image, int], Image.Image], asked: list) -> dict:
    """painted(caption, edges, seed) -> of each poster the likeness, and scene and word as 0 or 1"""
    numbers: dict = {"likeness": [], "scene": "", "word": ""}
    for i, (scene, placed) in enumerate(tqdm(asked, unit="picture")):
        picture = painted(caption(scene), Image.fromarray(edges(placed)), i)
        result = score(scene, picture)
        numbers["likeness"].append(round(likeness(placed, np.asarray(picture)), 4))
        numbers["scene"] += "01"[result["scene"]]
        numbers["word"] += "01"[result["word"]]
    return numbers


def files_in(folder: Path) -> dict[str, Path]:
    """Kind -> its file, for those kinds that a folder of `pocket.controls` has"""
    return _existing({kind: folder / f"{kind}.safetensors" for kind in KINDS})


def stored() -> dict[str, Path]:
    """Kind -> its file among the variants of this repository, for those kinds that are there"""
    names = {kind: f"control_{kind.replace('-', '_')}.safetensors" for kind in KINDS}
    return _existing({kind: VARIANTS / name for kind, name in names.items()})


def _existing(files: dict[str, Path]) -> dict[str, Path]:
    return {kind: file for kind, file in files.items() if file.exists()}


def painters(pipe: QwenImage, files: dict[str, Path]) -> Iterator[tuple[str, Callable]]:
    """(kind, a function that paints a caption with edges), the caption alone and then each file

    The LoRA in context is on the MMDiT only while its function is the newest one.
    """
    options = {"negative_prompt": " ", "true_cfg_scale": GUIDANCE, "num_inference_steps": STEPS}
    yield ALONE, lambda text, picture, seed: pipe(text, seed=seed, **options)[0]
    for name in [kind for kind in files if kind != IN_CONTEXT]:
        net = load(files[name], pipe.transformer, dtype=pipe.dtype)
        yield (
            name,
            lambda text, picture, seed, net=net: ControlledQwenImage(pipe, [Control(net, picture)])(
                text, seed=seed, **options
            )[0],
        )
    if IN_CONTEXT not in files:
        return
    adapter = lora.load(pipe.transformer, files[IN_CONTEXT]).adapter
    yield (
        IN_CONTEXT,
        lambda text, picture, seed: pipe(
            context_prompt(text), seed=seed, context_image=picture, **options
        )[0],
    )
    adapter.remove()


def rows(results: dict, kinds: list[str]) -> list[dict]:
    """One row for each kind: mean likeness, shares of right scenes and words, with intervals"""
    table = []
    for kind in kinds:
        answers = results[kind]
        shares = {name: interval(answers[name].count("1"), len(answers[name]))
                  for name in ("scene", "word")}  # fmt: skip
        table.append({"kind": kind, "likeness": mean_interval(answers["likeness"])} | shares)
    return table


def less(answers: dict, kind: str, other: str = ALONE) -> dict:
    """Likeness, scene and word of one kind less those of another, poster by poster

    answers: {kind: what `measure` returned}, of the same captions and seeds. The likeness has the
    interval of its mean difference, scene and word are results of `paired`.
    """
    mine, theirs = answers[kind], answers[other]
    nearer = [a - b for a, b in zip(mine["likeness"], theirs["likeness"], strict=True)]
    marks = {
        part: paired(*([mark == "1" for mark in each[part]] for each in (mine, theirs)))
        for part in ("scene", "word")
    }
    return {"likeness": mean_interval(nearer)} | marks


def recorded(file: Path = RECORD) -> list[dict]:
    """The rows of the record, one for each kind that was measured; none without a record"""
    return json.loads(file.read_text(encoding="utf-8"))["kinds"] if file.exists() else []


def recorded_answers(file: Path = RECORD) -> dict[str, dict]:
    """Kind -> its answers in the record, poster by poster; none without a record"""
    if not file.exists():
        return {}
    record = json.loads(file.read_text(encoding="utf-8"))
    return {row["kind"]: record[row["kind"]] for row in record["kinds"]}


def survey(pipe: QwenImage, files: dict[str, Path], count: int, record: Path) -> dict:
    """Measure every kind that has a file and write the record. Returns it."""
    terms, asked, kinds = terms_of(pipe, count), posters(count), []
    progress = Progress(record, terms)
    for name, painted in painters(pipe, files):
        progress.measure(name, measure, painted, asked)
        kinds.append(name)
    result = terms | {"kinds": rows(progress.results, kinds)}
    write_record(result | {name: progress.results[name] for name in kinds}, record)
    progress.file.unlink()
    return result


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.controlling")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=200, metavar="N", help="posters")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.count < 2:
        print(f"--count must be at least 2, got {options.count}", file=sys.stderr)
        return 2
    files = files_in(options.folder)
    if not files:
        print(f"{options.folder} must hold a file of {', '.join(KINDS)}, got none", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(options.base)
    for row in survey(pipe, files, options.count, options.to)["kinds"]:
        print(row["kind"], row["likeness"]["mean"], row["scene"]["share"], row["word"]["share"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
