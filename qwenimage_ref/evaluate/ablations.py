"""Why this way? Equal short trainings of the sibling, each with one thing changed.

python -m qwenimage_ref.evaluate.ablations [NAME ...]    all variants, or those named

What is done is kept in runs/ablate and not done again, and a training that was stopped goes on;
data/measurements/ablations.json holds the results.
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
from ..pocket.train import CHUNK, Latents, batch, digest
from ..posters.draw import Scene, Shape, caption, sample_scene
from ..provenance import write_record
from ..repository import ROOT, in_a_clone
from ..train.loop import LOG_EVERY, Run
from .ablation_variants import GUIDANCE, VARIANTS, Variant, guided_as
from .intervals import interval, paired
from .score import Trial, contact_sheet, paint, read_back

RECORD = ROOT / "data" / "measurements" / "ablations.json"
CAPTIONS, STEPS = 240, 20
TEST_SEED = 40_000_000  # where the held-out scenes are looked for
MEASURED = 512  # posters of no lesson that the final loss is taken on
SHOWN = (  # painted at every stage of the baseline's training
    Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of"),
    Scene("navy", (Shape("star", "yellow"),), "large"),
    Scene("mint", (Shape("triangle", "green"), Shape("square", "orange")), "above"),
    Scene("beige", (Shape("ring", "black"),), "small right"),
)
STAGE_CAPTIONS = 48
STAGES = (20, 50, 100, 150, 200, 300, 500, 800)  # steps after which the baseline's weights are kept
PARTS = ("scene", "shapes", "colours", "layout", "background")
# what variants are compared by: so short a training gets one whole scene in twenty right, too few
# to tell anything apart, but a third of the pictures have the right number of shapes and colours
COMPARED = "colours"


def trials(lesson: Lesson, count: int) -> list[Trial]:
    """English captions of scenes that no lesson shows, and their noise's seeds."""
    made, trained = [], trained_scenes() | lesson.scenes()
    for i in range(count):
        tries = (
            sample_scene(TEST_SEED + 1000 * i + j, None, lesson.word_share) for j in range(999)
        )
        scene = next(scene for scene in tries if scene not in trained)
        made.append(Trial(scene, "en", caption(scene), i))
    return made


class Bench:
    """What all variants share: pocket tokenizer and VAE, posters, captions, a folder."""

    def __init__(self, folder: Path, lesson=sibling.LESSON, captions: int = CAPTIONS):
        self.pipe = QwenImage.from_pretrained(ROOT / "data" / "pocket")
        self.folder, self.lesson = folder, lesson
        self.made = trials(lesson, captions)
        recipe = dataclasses.replace(lesson.recipe, batch=MEASURED)
        after = lesson.first + lesson.posters  # as many posters again, which no variant is shown
        self.unseen = dataclasses.replace(lesson, recipe=recipe, first=after)
        self.latents, self.unseen_latents = map(self._latents, (lesson, self.unseen))

    def _latents(self, lesson) -> Latents:
        vae = self.pipe.vae
        return Latents(vae, lesson, self.folder / f"latents-{digest(vae)}-{lesson.first}")

    def train(self, name: str) -> Run:
        """The finished run; where it was stopped, it goes on."""
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
        """Of posters that no variant was shown, at the baseline's noise levels."""
        drawn = batch(self.unseen, self.unseen_latents, self.pipe.tokenizer, 0, dropout=0.0)
        parts = zip(*(tensor.chunk(8) for tensor in drawn))
        return sum(self.loss(painter, *part).item() for part in parts) / 8

    def paint(self, painter, made, variant: Variant) -> list:
        with guided_as(variant):
            return paint(sibling.pipeline(self.pipe, painter), made, STEPS, variant.guidance, True)

    def look(self, painter, variant: Variant, made) -> dict:
        """-> {part: "0110..."}: of each caption, whether that part of the picture is right"""
        scores = read_back(made, self.paint(painter, made, variant))
        return {part: "".join(str(int(found[part])) for found in scores) for part in PARTS}

    def result(self, name: str) -> dict:
        """Everything that is measured of a variant, kept in its folder; done once."""
        variant = VARIANTS[name]
        file = self.folder / name / "result.json"
        if not file.exists():
            run = self.train(variant.trained or name)
            painter = run.model
            with run.averaged() if variant.averaged else contextlib.nullcontext():
                found = {
                    "loss": round(self.final_loss(painter), 5),
                    "seconds_per_step": round(seconds_per_step(run.log_file), 4),
                    "parameters": sum(p.numel() for p in painter.parameters()),
                    "right": self.look(painter, variant, self.made),
                }
            file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as partial:
                partial.write_text(json.dumps(found), encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    def stages(self) -> tuple[list[dict], np.ndarray]:
        """The baseline on its way: loss and scores at each stage, pictures of the same noise."""
        made = [Trial(scene, "en", caption(scene), i) for i, scene in enumerate(SHOWN)]
        found, columns = [], []
        for stop in STAGES:
            painter = sibling.new()
            load_into(painter, self.folder / "stages" / f"{stop:04d}-average")
            right = self.look(painter, VARIANTS["baseline"], self.made[:STAGE_CAPTIONS])
            rows = {part: interval(bits.count("1"), len(bits)) for part, bits in right.items()}
            found.append({"step": stop, "loss": round(self.final_loss(painter), 5), "rows": rows})
            columns += self.paint(painter, made, VARIANTS["baseline"])
        rows = [columns[i :: len(made)] for i in range(len(made))]  # a prompt a row
        return found, contact_sheet(sum(rows, []), columns=len(STAGES))


def _clock() -> dict:
    return {"processor": time.process_time()}


def seconds_per_step(log: Path) -> float:
    """Processor seconds, the median over a log: other work on the machine does not count."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return statistics.median(
        (after["processor"] - before["processor"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
    )


def compared(results: dict[str, dict]) -> dict[str, dict]:
    """What is kept of each variant: shares and intervals, and the baseline taken off, in pairs."""
    rows, answers = {}, {}
    for name, found in results.items():
        right = {part: [bit == "1" for bit in bits] for part, bits in found["right"].items()}
        answers[name] = right[COMPARED]
        rows[name] = {
            "says": VARIANTS[name].says,
            "only_sampled": VARIANTS[name].trained != "",
            **{key: found[key] for key in ("loss", "seconds_per_step", "parameters")},
            "rows": {part: interval(sum(bits), len(bits)) for part, bits in right.items()},
            "against_baseline": paired(answers[name], answers["baseline"]),
            "bits": found["right"][COMPARED],  # so that anybody can pair any two
        }
    return rows


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.ablations")
    parser.add_argument("name", nargs="*", help="of variants; none: all, and the record")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablate"), help="states and results")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.name if name not in VARIANTS]:
        parser.error(f"no variant is called {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    torch.set_num_threads(1)  # one core, so that the seconds can be compared
    bench = Bench(options.runs)
    for name in options.name or VARIANTS:
        bits = bench.result(name)["right"][COMPARED]
        print(f"{name}: {COMPARED} right of {bits.count('1')} in {len(bits)}", flush=True)
    if not options.name:
        stages, pictures = bench.stages()
        write_picture(pictures, "stages.png")
        found = {
            "captions": CAPTIONS,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "compared": COMPARED,
            "recipe": dataclasses.asdict(bench.lesson.recipe),
            "variants": compared({name: bench.result(name) for name in VARIANTS}),
            "stages": stages,
            "prompts": [caption(scene) for scene in SHOWN],
        }
        write_record(found, RECORD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
