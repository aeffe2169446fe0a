"""Few steps: what they cost, what they still paint, and how near they end to the teacher's end.

python -m qwenimage_ref.evaluate.few_steps     minutes; killed and called again, it goes on

Every way of painting gets the same captions and the same noise. What is found is kept, caption by
caption, in data/measurements/few_steps.json.
"""

import contextlib
import hashlib
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..adapt import lora
from ..config import SchedulerConfig
from ..files import whole_file
from ..pocket.lightning import FILE
from ..provenance import write_record
from ..repository import DATA, in_a_clone
from .score import BATCH, Trial, trials
from .settings import VARIED, Progress, marks, survey_command, terms_of, variety

RECORD = DATA / "measurements" / "few_steps.json"
RUNS = Path("runs/few_steps")  # states
CHUNK = 56  # of the teacher's pictures, painted and kept together


@dataclass(frozen=True)
class Way:
    """A way from noise to picture. Its name is what the record calls it."""

    steps: int
    guidance: float = 1  # 1: none, and half the runs
    lightning: bool = True  # shift 3 and no terminal stretch, else the model's own schedule
    lora: float = 0  # scale; 0: the model as it is

    @property
    def runs(self) -> int:
        """How often the transformer runs for a picture."""
        return self.steps * (1 + (self.guidance > 1))

    def __str__(self) -> str:
        guidance = f"guidance {self.guidance:g}" if self.guidance > 1 else "no guidance"
        schedule = "Lightning" if self.lightning else "own"
        adapter = f"LoRA {self.lora:g}" if self.lora else "no LoRA"
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        return f"{steps}, {guidance}, {schedule} schedule, {adapter}"


TEACHER = Way(20, 4, lightning=False)
HURRIED = Way(4, lora=1)  # what the LoRA was trained for
WAYS = (
    HURRIED,
    Way(4),
    Way(2, lora=1),
    Way(2),
    Way(4, lightning=False, lora=1),
    Way(4, lightning=False),
    Way(4, 4, lora=1),
    Way(1, lora=1),
    Way(1),
    Way(4, lora=0.5),
    Way(4, lora=1.5),
    Way(8, lora=1),
    Way(8),
    Way(2, lightning=False),
)
VARIED_WAYS = (HURRIED, Way(4))  # the teacher's variety is in the sweeps


@contextlib.contextmanager
def going(pipe, way: Way):
    """The pipeline with the schedule and the LoRA of a way; as it was afterwards."""
    own, report = pipe.scheduler, None
    if way.lightning:
        pipe.scheduler = SchedulerConfig.lightning()
    try:
        if way.lora:
            report = lora.load(pipe.transformer, FILE, way.lora)
            lora.merge(pipe.transformer)  # so that a run costs what it costs without
        yield pipe
    finally:
        pipe.scheduler = own
        if report:
            report.adapter.remove()


def paint(pipe, made: list[Trial], way: Way):
    """Trials -> pictures, the latents they were decoded from (N, C, h, w), processor seconds"""
    order = sorted(range(len(made)), key=lambda i: len(pipe.tokenizer.encode(made[i].prompt)))
    pictures, ends, start = [None] * len(made), [None] * len(made), time.process_time()

    def watch(step, sigma, latents, velocity):
        if step == way.steps - 1:
            watched.extend(latents - sigma * velocity)  # where the last step leads

    with going(pipe, way):
        for first in range(0, len(order), BATCH):
            batch, watched = order[first : first + BATCH], []
            painted = pipe(
                [made[i].prompt for i in batch],
                negative_prompt=" ",
                true_cfg_scale=way.guidance,
                num_inference_steps=way.steps,
                seed=[made[i].seed for i in batch],
                callback=watch,
            )
            for i, picture, end in zip(batch, painted, watched):
                pictures[i], ends[i] = picture, end
    return pictures, torch.stack(ends), time.process_time() - start


def off(ends, targets) -> list[float]:
    """(N, C, h, w), (N, C, h, w) -> N mean squared distances"""
    return (ends - targets).pow(2).mean(dim=(1, 2, 3)).tolist()


def measure(made: list[Trial], pictures, ends, seconds: float, targets) -> dict:
    """What the record holds of a way: marks, distances and seconds, caption by caption"""
    far = " ".join(f"{distance:.4f}" for distance in off(ends, targets))
    return marks(made, pictures) | {"off": far, "seconds": round(seconds / len(made), 3)}


def distances(found: dict) -> list[float]:
    """The distances of a way's entry in the record."""
    return [float(distance) for distance in found["off"].split()]


def paint_seeds(pipe, way: Way) -> list[list]:
    """A few prompts, each from the same few seeds -> pictures [prompt][seed]"""
    made = [replace(trial, seed=seed) for trial in trials(VARIED) for seed in range(VARIED)]
    pictures, _, _ = paint(pipe, made, way)
    return [pictures[i : i + VARIED] for i in range(0, len(pictures), VARIED)]


class Teacher:
    """Where the teacher ends, chunk by chunk and kept in a folder, with its marks."""

    def __init__(self, pipe, made: list[Trial], folder: Path):
        self.pipe, self.made, self.folder = pipe, made, folder
        folder.mkdir(parents=True, exist_ok=True)

    def chunk(self, first: int) -> dict[str, torch.Tensor]:
        """-> "ends" (N, C, h, w) and "seconds" () of the captions from `first` on"""
        part = self.made[first : first + CHUNK]
        file = self.folder / f"{first:04d}_{len(part)}.safetensors"
        if not file.exists():
            _, ends, seconds = paint(self.pipe, part, TEACHER)
            with whole_file(file) as partial:
                save_file({"ends": ends, "seconds": torch.tensor(seconds)}, partial)
        return load_file(file)

    def all(self):
        """-> ends (N, C, h, w), seconds"""
        chunks = [self.chunk(first) for first in range(0, len(self.made), CHUNK)]
        return torch.cat([c["ends"] for c in chunks]), sum(c["seconds"].item() for c in chunks)


def terms(pipe, captions: int) -> dict:
    """What the record depends on."""
    return terms_of(pipe, captions) | {"lora": hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}


def survey(pipe, captions: int, file: Path, runs: Path = RUNS) -> dict:
    """Measure every way -> the record, which is also written"""
    told = terms(pipe, captions)
    progress, made = Progress(file, told), trials(captions)
    targets, seconds = Teacher(pipe, made, runs / told["weights"].replace(" ", "_")).all()

    def teach():
        pictures = [p for batch in targets.split(BATCH) for p in pipe.to_pictures(batch)]
        return measure(made, pictures, targets, seconds, targets)

    def go(way):
        return measure(made, *paint(pipe, made, way), targets)

    def vary(way):
        return variety(paint_seeds(pipe, way))

    progress.keep(str(TEACHER), teach)
    for way in WAYS:
        progress.keep(str(way), go, way)
    for way in VARIED_WAYS:
        progress.keep(f"variety, {way}", vary, way)
    write_record(progress.found, file)
    progress.file.unlink()
    return progress.found


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("few_steps", 200, RECORD, terms, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())
