"""The ablation study: short trainings of the sibling model that each differ in one choice.

python -m qwenimage_ref.evaluate.ablations [NAME ...]    all variants, or those named

States and results are kept in runs/ablate, from which an interrupted study resumes. The results of
all variants are written to data/measurements/ablations.json.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import load_into, save
from ..files import whole_file
from ..pictures import write_picture
from ..pipeline import QwenImage
from ..pocket import sibling
from ..pocket.lessons import Lesson, trained_scenes
from ..pocket.train import CHUNK, Latents, batch
from ..posters.draw import Scene, Shape, caption, sample_scene
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.loop import LOG_EVERY, Run
from ..train.state import digest
from .ablation_variants import GUIDANCE, VARIANTS, Variant, guided_as
from .intervals import interval, paired
from .score import Trial, contact_sheet, paint, read_back

RECORD = MEASUREMENTS / "ablations.json"
CAPTIONS, STEPS = 240, 20
TEST_SEED = 40_000_000  # first seed of the search for held-out scenes
MEASURED = 512  # held-out posters on which the final loss is computed
SHOWN = (  # scenes painted at every stage of the baseline's training
    Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of"),
    Scene("navy", (Shape("star", "yellow"),), "large"),
    Scene("mint", (Shape("triangle", "green"), Shape("square", "orange")), "above"),
    Scene("beige", (Shape("ring", "black"),), "small right"),
)
STAGE_CAPTIONS = 48
STAGES = (20, 50, 100, 150, 200, 300, 500, 800)  # steps at which the baseline is saved
PARTS = ("scene", "shapes", "colours", "layout", "background")
# The part by which variants are compared. After so short a training one whole scene in twenty is
# right, too few to separate variants, but a third of the pictures have the right colours.
COMPARED = "colours"


def trials(lesson: Lesson, count: int) -> list[Trial]:
    """English captions of scenes that are in no lesson, each with a seed for its noise."""
    trial_list, trained = [], trained_scenes() | lesson.scenes()
    for i in range(count):
        tries = (
            sample_scene(TEST_SEED + 1000 * i + j, None, lesson.word_share) for j in range(999)
        )
        scene = next(scene for scene in tries if scene not in trained)
        trial_list.append(Trial(scene, "en", caption(scene), i))
    return trial_list


class Bench:
    """What all variants share: pocket tokenizer and VAE, posters, captions, and a folder."""

    def __init__(self, folder: Path, lesson=sibling.LESSON, captions: int = CAPTIONS):
        self.pipe = QwenImage.from_pretrained(POCKET)
        self.folder, self.lesson = folder, lesson
        self.trials = trials(lesson, captions)
        recipe = dataclasses.replace(lesson.recipe, batch=MEASURED)
        after = lesson.first + lesson.posters  # the next posters, on which no variant is trained
        self.unseen = dataclasses.replace(lesson, recipe=recipe, first=after)
        self.latents, self.unseen_latents = map(self._latents, (lesson, self.unseen))

    def _latents(self, lesson) -> Latents:
        vae = self.pipe.vae
        return Latents(vae, lesson, self.folder / f"latents-{digest(vae)}-{lesson.first}")

    def train(self, name: str) -> Run:
        """The finished run of a variant, resumed where an earlier one was interrupted."""
        variant = VARIANTS[name]
        recipe = dataclasses.replace(self.lesson.recipe, **dict(variant.recipe))
        lesson = dataclasses.replace(self.lesson, recipe=recipe)
        painter = sibling.new(recipe.seed)
        variant.change(painter)
        matrices = painter.matrices() if variant.muon else ()
        origin = f"{digest(self.pipe.vae)} {lesson} {name}"
        run = Run(painter, recipe, self.folder / name, matrices, origin)
        self.latents[range(0, lesson.posters, CHUNK)]  # encoded before the clock starts

        def loss_at(step):
            *drawn, sigma = batch(lesson, self.latents, self.pipe.tokenizer, step, variant.dropout)
            return self.loss(painter, *drawn, variant.levels(sigma))

        for stop in (*(STAGES if name == "baseline" else ()), recipe.steps):
            if run.step < stop:
                run.fit(loss_at, stop, 60, measure=_clock, measure_every=LOG_EVERY)
                if name == "baseline":
                    save(painter, self.folder / "stages" / f"{stop:04d}")
                    with run.averaged():
                        save(painter, self.folder / "stages" / f"{stop:04d}-average")
        return run

    def loss(self, painter, *drawn):
        return sibling.loss_of(painter, self.pipe.tokenizer.prefix_length, *drawn)

    @torch.no_grad()
    def final_loss(self, painter) -> float:
        """The loss on held-out posters at the baseline's noise levels."""
        drawn = batch(self.unseen, self.unseen_latents, self.pipe.tokenizer, 0, dropout=0.0)
        parts = zip(*(tensor.chunk(8) for tensor in drawn))
        return sum(self.loss(painter, *part).item() for part in parts) / 8

    def paint(self, painter, trial_list, variant: Variant) -> list:
        pipe = sibling.pipeline(self.pipe, painter)
        with guided_as(variant):
            return paint(pipe, trial_list, STEPS, variant.guidance, quiet=True)

    def score(self, painter, variant: Variant, trial_list) -> dict:
        """-> {part: "0110..."}, a digit for each caption: whether that part is right"""
        scores = read_back(trial_list, self.paint(painter, trial_list, variant))
        return {part: "".join(str(int(s[part])) for s in scores) for part in PARTS}

    def result(self, name: str) -> dict:
        """All measurements of a variant, computed once and stored in its folder."""
        variant = VARIANTS[name]
        file = self.folder / name / "result.json"
        if not file.exists():
            run = self.train(variant.trained or name)
            painter = run.model
            with run.averaged() if variant.averaged else contextlib.nullcontext():
                measured = {
                    "loss": round(self.final_loss(painter), 5),
                    "seconds_per_step": round(seconds_per_step(run.log_file), 4),
                    "parameters": sum(p.numel() for p in painter.parameters()),
                    "right": self.score(painter, variant, self.trials),
                }
            file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as partial:
                partial.write_text(json.dumps(measured), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    def stages(self) -> tuple[list[dict], np.ndarray]:
        """-> the baseline's loss and scores at each stage, and its pictures from the same noise"""
        shown = [Trial(scene, "en", caption(scene), i) for i, scene in enumerate(SHOWN)]
        results, columns = [], []
        for stop in STAGES:
            painter = sibling.new()
            load_into(painter, self.folder / "stages" / f"{stop:04d}-average")
            right = self.score(painter, VARIANTS["baseline"], self.trials[:STAGE_CAPTIONS])
            rows = {part: interval(bits.count("1"), len(bits)) for part, bits in right.items()}
            results.append({"step": stop, "loss": round(self.final_loss(painter), 5), "rows": rows})
            columns += self.paint(painter, shown, VARIANTS["baseline"])
        rows = [columns[i :: len(shown)] for i in range(len(shown))]  # one row for each prompt
        return results, contact_sheet(sum(rows, []), columns=len(STAGES))


def _clock() -> dict:
    return {"processor": time.process_time()}


def seconds_per_step(log: Path) -> float:
    """Median processor seconds of a step in a log, so that other processes do not count."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return statistics.median(
        (after["processor"] - before["processor"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
    )


def compared(results: dict[str, dict]) -> dict[str, dict]:
    """Each variant's entry in the record: shares, intervals, difference to the baseline."""
    rows, answers = {}, {}
    for name, measured in results.items():
        right = {part: [bit == "1" for bit in bits] for part, bits in measured["right"].items()}
        answers[name] = right[COMPARED]
        rows[name] = {
            "says": VARIANTS[name].description,
            "only_sampled": VARIANTS[name].trained != "",
            **{key: measured[key] for key in ("loss", "seconds_per_step", "parameters")},
            "rows": {part: interval(sum(bits), len(bits)) for part, bits in right.items()},
            "against_baseline": paired(answers[name], answers["baseline"]),
            "bits": measured["right"][COMPARED],  # one by one, for any pairing
        }
    return rows


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.ablations")
    parser.add_argument(
        "name", nargs="*", help="variants to train; default: all, and write the record"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/ablate"), help="folder for states and results"
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.name if name not in VARIANTS]:
        parser.error(f"NAME must be one of {', '.join(VARIANTS)}, got {unknown[0]!r}")
    torch.set_num_threads(1)  # one thread, so that the processor seconds can be compared
    bench = Bench(options.runs)
    for name in options.name or VARIANTS:
        bits = bench.result(name)["right"][COMPARED]
        print(f"{name}: {COMPARED} right in {bits.count('1')} of {len(bits)}", flush=True)
    if not options.name:
        stages, pictures = bench.stages()
        write_picture(pictures, "stages.png")
        record = {
            "captions": CAPTIONS,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "compared": COMPARED,
            "recipe": dataclasses.asdict(bench.lesson.recipe),
            "variants": compared({name: bench.result(name) for name in VARIANTS}),
            "stages": stages,
            "prompts": [caption(scene) for scene in SHOWN],
        }
        write_record(record, RECORD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
