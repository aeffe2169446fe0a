"""Is a curriculum worth it? Two painters with a tenth of the pocket model's training, as much each.

    python -m qwenimage_ref.evaluate.short_curriculum     an hour and a half of one core

One is taught the three phases with a tenth of the steps, of the warm-up and of the distinct
posters, the other the last phase's mixture alone for as much work. VAE and tokenizer are the pocket
model's. Both are then asked for the loss on posters that neither was trained on, and for the scenes
of held-out captions. Where it is stopped it resumes. A single pair of runs is a single observation.
"""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from ..pipeline import QwenImage
from ..pocket.assemble import RECORD as TRAINING
from ..pocket.assemble import write_pocket, write_record
from ..pocket.curriculum import PHASES, Phase, control, shortened
from ..pocket.editions import second
from ..pocket.train import Latents, batch, train_painter
from ..provenance import write_record as write_measurement
from ..repository import MEASUREMENTS, POCKET, ROOT, in_a_clone
from ..train.flow import flow_step
from .held_out import held_out
from .intervals import interval, mean_interval, paired
from .score import Trial, paint, read_back
from .survey import terms_of

RECORD = MEASUREMENTS / "short_curriculum.json"
SHARE = 10  # divisor of the phases' steps
UNSEEN, BATCHES = 4_500_000, 16  # posters from here on, in so many batches, give the loss
PARTS = ("background", "count", "shapes", "colours", "layout", "scene", "word")


def arms(share: int = SHARE) -> dict[str, Mapping[str, Phase]]:
    """-> the lessons of both painters by name"""
    phases = shortened(PHASES, share)
    return {"curriculum": phases, "control": {"control": control(phases)}}


def trained(folder: Path, lessons: Mapping[str, Phase], base: Path = POCKET) -> Path:
    """Train a painter in the lessons, with VAE and tokenizer of `base` -> its own model's folder"""
    pipe, painter = QwenImage.from_pretrained(base), None
    for name, lesson in lessons.items():
        painter = train_painter(
            pipe.vae, pipe.tokenizer, folder / name, lesson, painter, configs=second().configs
        )
    write_pocket(folder / "model", pipe.vae, pipe.tokenizer, painter)
    runs = {name: (lesson.recipe, folder / name / "log.jsonl") for name, lesson in lessons.items()}
    write_record(folder / "model", runs, lessons)
    return folder / "model"


# --- the comparison


@torch.no_grad()
def unseen_losses(pipe: QwenImage, folder: Path) -> list[float]:
    """The loss on each of BATCHES of the last phase's kind, whose latents are kept in a folder"""
    recipe = PHASES["everything"].recipe
    posters = BATCHES * recipe.batch
    lesson = dataclasses.replace(PHASES["everything"], first=UNSEEN, posters=posters)
    latents, prefix, losses = Latents(pipe.vae, lesson, folder), pipe.tokenizer.prefix_length, []
    for step in range(BATCHES):
        ids, mask, *drawn = batch(lesson, latents, pipe.tokenizer, step, dropout=0.0)
        txt = pipe.text_encoder(ids)[:, prefix:]
        losses.append(flow_step(pipe.transformer, *drawn, txt, mask[:, prefix:]).item())
    return losses


def judged(folder: Path, trial_list: list[Trial], latents: Path) -> dict:
    """-> a painter's weights, the curves of its training, its losses, the bits of each part"""
    training = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    pipe = QwenImage.from_pretrained(folder)
    scores = read_back(trial_list, paint(pipe, trial_list))
    return {
        "weights": terms_of(pipe, len(trial_list))["weights"],
        "curves": {
            name: [[x["step"], x["loss"]] for x in lines]
            for name, lines in training["logs"].items()
        },
        "losses": [round(loss, 5) for loss in unseen_losses(pipe, latents)],
        "bits": {
            part: "".join(
                "01"[bool(s[part])]
                for trial, s in zip(trial_list, scores)
                if trial.scene.word or part != "word"  # words of captions that ask for one
            )
            for part in PARTS
        },
    }


def compared(painters: dict[str, dict]) -> dict:
    """Two painters as `judged` has them -> both, and the first's differences from the second"""
    first, second = painters.values()
    rows = {}
    for part in PARTS:
        right = {
            name: [bit == "1" for bit in each["bits"][part]] for name, each in painters.items()
        }
        shares = {name: interval(sum(bits), len(bits)) for name, bits in right.items()}
        rows[part] = shares | {"paired": paired(*right.values())}
    less = [a - b for a, b in zip(first["losses"], second["losses"], strict=True)]
    means = {name: mean_interval(each["losses"]) for name, each in painters.items()}
    return painters | {"rows": rows, "loss": means | {"paired": mean_interval(less)}}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.short_curriculum")
    help = f"a whole training's steps are divided by it; default {SHARE}"
    parser.add_argument("--share", type=int, default=SHARE, metavar="N", help=help)
    parser.add_argument("--captions", type=int, default=600, metavar="N", help="default 600")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "short_curriculum")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    parser.add_argument("--only", choices=arms(), help="train this painter and judge neither")
    options = parser.parse_args(arguments)
    lessons = {name: arm for name, arm in arms(options.share).items()
               if options.only in (None, name)}  # fmt: skip
    folders = {name: trained(options.runs / name, arm) for name, arm in lessons.items()}
    if options.only:
        return 0
    trial_list = list(itertools.islice(held_out(), options.captions))
    latents = options.runs / "unseen"
    result = compared(
        {name: judged(folder, trial_list, latents) for name, folder in folders.items()}
    )
    steps = {name: sum(x.recipe.steps for x in arm.values()) for name, arm in lessons.items()}
    weights = result["curriculum"]["weights"]
    terms = {"weights": weights, "observations": 1, "share": options.share, "steps": steps}
    write_measurement(terms | {"captions": options.captions} | result, options.to)
    for name, row in {"loss": result["loss"], **result["rows"]}.items():
        print(name, row["paired"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
