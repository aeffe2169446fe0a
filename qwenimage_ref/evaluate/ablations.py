"""The ablation study: short trainings of the sibling model that each differ in one choice.

python -m qwenimage_ref.evaluate.ablations [NAME ...]    all variants, or those named

Every variant is trained with each of SEEDS on posters of three sizes, without words, with plain
English captions. States and results are kept in runs/ablate, from which an interrupted study
resumes. The results of all variants are written to data/measurements/ablations.json.
"""

import argparse
import contextlib
import dataclasses
import functools
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
from ..pocket.curriculum import Phase
from ..pocket.lessons import Lesson
from ..pocket.train import CHUNK, Latents, batch
from ..posters.captions import caption
from ..posters.scene import EVENLY, SMALL, SQUARE, Mixture, Scene, Shape, sample
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.loop import LOG_EVERY, Run
from ..train.state import digest
from .ablation_table import COMPARED, compared
from .ablation_variants import GUIDANCE, VARIANTS, Variant, guided_as
from .intervals import interval
from .score import Trial, contact_sheet, paint, read_back

RECORD = MEASUREMENTS / "ablations.json"
SEEDS = (0, 1, 2)  # each chooses the first weights, the noise and what captions are dropped
CAPTIONS, STEPS = 160, 20
TEST_SEED = 40_000_000  # first seed of the search for held-out scenes
MEASURED, BATCH = 512, 64  # held-out posters on which the final loss is computed, and at a time
SIZES = (SQUARE, (176, 96), (96, 176))  # width and height in pixels


@dataclasses.dataclass(frozen=True)
class Plain(Phase):
    """One English caption a poster: with fewer wordings to learn, minutes of training suffice."""

    def prompt(self, number: int) -> str:
        return caption(self.scene(number), "en", edition=2)


LESSON = Plain(
    dataclasses.replace(sibling.LESSON.recipe, steps=600),
    first=4_950_000,
    posters=8192,
    mixture=Mixture(sizes=SIZES, counting=0.0, words=0.0),
)
SMALL_FIRST = 4_900_000  # number of the first small poster
SHOWN = (  # scenes painted at every stage of the baseline's training
    Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of"),
    Scene("navy", (Shape("star", "yellow"),), "large"),
    Scene("mint", (Shape("triangle", "green"), Shape("square", "orange")), "above"),
    Scene("beige", (Shape("ring", "black"),), "small right"),
)
STAGE_CAPTIONS = 48
STAGES = (20, 50, 100, 150, 200, 300, 450, 600)  # steps at which the baseline is saved
PARTS = ("scene", "shapes", "colours", "layout", "count", "background")


def trials(lesson: Phase, count: int) -> list[Trial]:
    """English captions of scenes that no poster of the lesson shows, each with a seed for its noise

    Each background is as frequent as the others, the dark one too.
    """
    mixture = dataclasses.replace(lesson.mixture, backgrounds=EVENLY.backgrounds)
    trial_list, trained = [], {_in_a_square(scene) for scene in lesson.scenes()}
    for i in range(count):
        tries = (sample(TEST_SEED + 1000 * i + j, mixture) for j in range(999))
        scene = next(scene for scene in tries if _in_a_square(scene) not in trained)
        trial_list.append(Trial(scene, "en", caption(scene, "en", edition=2), i))
    return trial_list


def _in_a_square(scene: Scene) -> Scene:
    return dataclasses.replace(scene, size=SQUARE)


class Bench:
    """What all variants share: pocket tokenizer and VAE, posters, captions, and a folder."""

    def __init__(self, folder: Path, lesson: Lesson = LESSON, seed: int = 0, captions=CAPTIONS):
        self.pipe = QwenImage.from_pretrained(POCKET)
        recipe = dataclasses.replace(lesson.recipe, seed=seed)
        self.folder, self.lesson = folder, dataclasses.replace(lesson, recipe=recipe)
        self.captions = captions
        self.latents = self._latents(lesson)

    def own(self, name: str) -> Path:
        """The folder of a variant's run with this bench's seed"""
        return self.folder / f"{name} {self.lesson.recipe.seed}"

    @functools.cached_property
    def trials(self) -> list[Trial]:
        return trials(self.lesson, self.captions)

    def _latents(self, lesson: Lesson) -> Latents:
        vae = self.pipe.vae
        return Latents(vae, lesson, self.folder / f"latents-{digest(vae)}-{lesson.first}")

    def small(self, lesson: Lesson) -> tuple[Lesson, Latents]:
        """The lesson's small pictures, and their latents"""
        mixture = dataclasses.replace(lesson.mixture, sizes=(SMALL,))
        small = dataclasses.replace(lesson, first=SMALL_FIRST, mixture=mixture)
        return small, self._latents(small)

    def train(self, name: str) -> Run:
        """The finished run of a variant, resumed where an earlier one was interrupted."""
        variant = VARIANTS[name]
        recipe = dataclasses.replace(self.lesson.recipe, **dict(variant.recipe))
        lesson = dataclasses.replace(self.lesson, recipe=recipe)
        painter = sibling.new(recipe.seed)
        variant.change(painter)
        matrices = painter.matrices() if variant.muon else ()
        origin = f"{digest(self.pipe.vae)} {lesson} {name}"
        run = Run(painter, recipe, self.own(name), matrices, origin)
        for chunk in range(0, lesson.posters, CHUNK):
            self.latents[[chunk]]  # encoded before the clock starts
        small = self.small(lesson) if variant.small else None

        def loss_at(step):
            source = small if step < variant.small else (lesson, self.latents)
            *drawn, sigma = batch(*source, self.pipe.tokenizer, step, variant.dropout)
            return self.loss(painter, *drawn, variant.levels(sigma))

        for stop in (*(STAGES if name == "baseline" else ()), recipe.steps):
            if run.step < stop:
                run.fit(loss_at, stop, 60, measure=_clock, measure_every=LOG_EVERY)
                if name == "baseline":
                    save(painter, self.stage(stop))
                    with run.averaged():
                        save(painter, self.stage(stop, "-average"))
        return run

    def stage(self, step: int, kind: str = "") -> Path:
        """The folder of the baseline's weights at a step"""
        return self.own("baseline") / "stages" / f"{step:04d}{kind}"

    def loss(self, painter, *drawn):
        return sibling.loss_of(painter, self.pipe.tokenizer.prefix_length, *drawn)

    @functools.cached_property
    def unseen(self) -> list[tuple]:
        """Batches of posters on which nothing is trained, the same for every seed"""
        recipe = dataclasses.replace(self.lesson.recipe, batch=BATCH, seed=0)
        after = self.lesson.first + self.lesson.posters
        lesson = dataclasses.replace(self.lesson, recipe=recipe, first=after)
        latents, tokenizer = self._latents(lesson), self.pipe.tokenizer
        return [batch(lesson, latents, tokenizer, i, dropout=0.0) for i in range(MEASURED // BATCH)]

    @torch.no_grad()
    def final_loss(self, painter) -> float:
        """The loss on held-out posters at the baseline's noise levels."""
        losses = [self.loss(painter, *drawn).item() for drawn in self.unseen]
        return sum(losses) / len(losses)

    def paint(self, painter, trial_list, variant: Variant) -> list:
        pipe = sibling.pipeline(self.pipe, painter)
        pipe.scheduler = dataclasses.replace(pipe.scheduler, **dict(variant.scheduler))
        with guided_as(variant):
            return paint(pipe, trial_list, STEPS, variant.guidance, quiet=True)

    def score(self, painter, variant: Variant, trial_list) -> dict:
        """-> {part: "0110..."}, a digit for each caption: whether that part is right"""
        scores = read_back(trial_list, self.paint(painter, trial_list, variant))
        return {part: "".join(str(int(s[part])) for s in scores) for part in PARTS}

    def result(self, name: str) -> dict:
        """All measurements of a variant, computed once and stored in its folder."""
        variant = VARIANTS[name]
        file = self.own(name) / "result.json"
        if not file.exists():
            run = self.train(name if variant.retrained else "baseline")
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

    def stages(self) -> list[dict]:
        """The baseline's loss and scores at each stage"""
        results = []
        for stop in STAGES:
            painter = self.averaged_at(stop)
            right = self.score(painter, VARIANTS["baseline"], self.trials[:STAGE_CAPTIONS])
            rows = {part: interval(bits.count("1"), len(bits)) for part, bits in right.items()}
            results.append({"step": stop, "loss": round(self.final_loss(painter), 5), "rows": rows})
        return results

    def averaged_at(self, step: int):
        """The baseline's averaged weights at a step"""
        painter = sibling.new()
        load_into(painter, self.stage(step, "-average"))
        return painter


def strip(bench: Bench) -> np.ndarray:
    """SHOWN from the same noise at every stage of the baseline's training -> (H, W, 3) uint8"""
    shown = [Trial(scene, "en", caption(scene, edition=2), i) for i, scene in enumerate(SHOWN)]
    baseline = VARIANTS["baseline"]
    columns = [bench.paint(bench.averaged_at(stop), shown, baseline) for stop in STAGES]
    return contact_sheet(sum(map(list, zip(*columns)), []), columns=len(STAGES))


def _clock() -> dict:
    return {"processor": time.process_time()}


def seconds_per_step(log: Path) -> float:
    """Median processor seconds of a step in a log, so that other processes do not count."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return statistics.median(
        (after["processor"] - before["processor"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
    )


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
    benches = [Bench(options.runs, seed=seed) for seed in SEEDS]
    for name in options.name or VARIANTS:
        right = [bench.result(name)["right"][COMPARED].count("1") for bench in benches]
        print(f"{name}: {COMPARED} right in {right} of {CAPTIONS}", flush=True)
    if not options.name:
        write_picture(strip(benches[0]), "stages.png")
        record = {
            "captions": CAPTIONS,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "compared": COMPARED,
            "numbers of seeds": SEEDS,
            "recipe": dataclasses.asdict(LESSON.recipe),
            "variants": compared({name: [b.result(name) for b in benches] for name in VARIANTS}),
            "stages": benches[0].stages(),
            "prompts": [caption(scene, edition=2) for scene in SHOWN],
        }
        write_record(record, RECORD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
