"""Is filtering worth it? One network trained on filtered posters, one on all of them, as long.

python -m qwenimage_ref.evaluate.filtered_training     an hour and a half on one core

Half of the posters have a planted defect. Both runs begin with the same random transformer, have
the same recipe, and so take the same number of steps on pictures of the same size; the pocket
model's VAE and text encoder stay as they are. Both are asked for scenes that no poster shows, and
compared caption by caption. A single pair of runs is a single observation.
"""

import argparse
import dataclasses
import itertools
import sys
from pathlib import Path

import torch

from ..curation import steps
from ..curation.filters import POSTERS
from ..curation.workers import Local
from ..mmdit import MMDiT
from ..pipeline import QwenImage
from ..pocket.train import POCKET_MMDIT
from ..posters.captions import caption
from ..posters.scene import BACKGROUNDS, Mixture, Scene, sample
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..tar_shards import shards_in, write_shard
from ..train.full import train
from ..train.lora import Flow
from ..train.recipe import Recipe
from ..train.streamed import Streamed
from .defects import planted
from .intervals import interval, paired
from .score import Trial, paint, read_back

RECORD = MEASUREMENTS / "filtered_training.json"
SIDE = 96  # pixels; smaller than all posters, so that every picture is shrunk to it
SEED = 60_000_000  # posters from here on
EACH = 256  # posters in a shard
LAYERS = 4  # half of the pocket model's
SAMPLING_STEPS, GUIDANCE = 20, 4.0
PARTS = ("background", "count", "shapes", "colours", "layout", "scene")


def raw_shards(folder: Path, count: int) -> Path:
    """Shards of posters with planted defects, written where they are not there yet"""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, EACH):
        file = folder / f"{start // EACH:06}.tar"
        if not file.exists():
            write_shard(file, map(_example, range(start, min(start + EACH, count))))
    return folder


def _example(number: int):
    content, caption, _ = planted(SEED + number)
    return f"{number:08}", {"png": content, "txt": caption.encode()}


def encoded(folder: Path, count: int, workers: int) -> dict[str, Streamed]:
    """-> {"filtered", "unfiltered"}: examples of the same shards, those that pass, and all"""
    raw, pool = raw_shards(folder / "raw", count), Local(workers)
    steps.filtered(raw, folder / "filtered", POSTERS, "posters", workers=pool)
    files = shards_in(raw)
    measured = [folder / "filtered" / steps.MEASURED / f"{file.stem}.jsonl" for file in files]
    # everything that can be decoded
    whole = {f"{m.stem}/{row['key']}" for m in measured for row in steps.rows_of(m)
             if not row["broken"]}  # fmt: skip
    steps.write_decision(folder / "unfiltered", files, whole)
    for name in ("filtered", "unfiltered"):
        to = folder / f"{name}-encoded"
        steps.encode(raw, folder / name, to, POCKET, (SIDE * SIDE,), workers=pool)
    return {n: Streamed(folder / f"{n}-encoded") for n in ("filtered", "unfiltered")}


def trained(examples: Streamed, recipe: Recipe, folder: Path) -> MMDiT:
    """A new transformer, trained on the examples; continued where it was stopped"""
    torch.manual_seed(recipe.seed)
    mmdit = MMDiT(dataclasses.replace(POCKET_MMDIT, num_layers=LAYERS))
    settings = Flow(sigma="logit-normal", dropout=0.1)
    train(mmdit, examples, examples.empty, recipe, settings, folder, examples.origin).use_average()
    return mmdit.eval()


def scores(mmdit: MMDiT, trial_list) -> list[dict]:
    """What the painted pictures of the trials show of their scenes"""
    pipe = QwenImage.from_pretrained(POCKET)
    pipe = QwenImage(
        pipe.tokenizer, pipe.text_encoder, mmdit, pipe.vae, pipe.scheduler, pipe.recommended
    )  # fmt: skip
    return read_back(trial_list, paint(pipe, trial_list, SAMPLING_STEPS, GUIDANCE))


def compare(answers: dict[str, list[dict]]) -> dict:
    """-> for each part of a scene both shares, and their difference, filtered minus unfiltered"""
    rows = {}
    for part in PARTS:
        right = {name: [bool(s[part]) for s in each] for name, each in answers.items()}
        shares = {name: interval(sum(each), len(each)) for name, each in right.items()}
        rows[part] = shares | {"paired": paired(right["filtered"], right["unfiltered"])}
    return rows


def held_out(posters: int, count: int) -> list[Trial]:
    """English captions of scenes without words that none of the posters shows"""
    shown = {_square(sample(SEED + number, unseen=None)) for number in range(-1, posters)}
    wordless = Mixture(words=0.0, backgrounds=tuple(BACKGROUNDS))
    tries = (sample(f"filtered {i}", wordless, None, (SIDE, SIDE)) for i in itertools.count())
    scenes = itertools.islice((scene for scene in tries if scene not in shown), count)
    return [Trial(s, "en", caption(s, "en", edition=2), i) for i, s in enumerate(scenes)]


def _square(scene: Scene) -> Scene:
    return dataclasses.replace(scene, size=(SIDE, SIDE))


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.filtered_training")
    parser.add_argument("--posters", type=int, default=8192, help="default 8192")
    parser.add_argument("--steps", type=int, default=3000, help="of each run; default 3000")
    parser.add_argument("--batch", type=int, default=32, help="default 32")
    parser.add_argument("--captions", type=int, default=480, help="default 480")
    parser.add_argument("--workers", type=int, default=1, help="processes that encode; default 1")
    parser.add_argument("--runs", type=Path, default=Path("runs/filtered_training"))
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps, batch=options.batch, lr=1e-3)
    data = encoded(options.runs, options.posters, options.workers)
    trial_list = held_out(options.posters, options.captions)
    networks = {
        name: trained(each, recipe, options.runs / "runs" / name) for name, each in data.items()
    }
    rows = compare({name: scores(network, trial_list) for name, network in networks.items()})
    counts = {name: len(each) for name, each in data.items()}
    write_record({"observations": 1, "examples": counts, **vars(recipe), "rows": rows}, options.to)
    for part, row in rows.items():
        print(part, *(f"{name} {row[name]['share']:.3f}" for name in data), row["paired"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
