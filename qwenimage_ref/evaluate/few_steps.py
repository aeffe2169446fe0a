"""Few steps: what they cost, what they still paint, and how near they end to the teacher.

python -m qwenimage_ref.evaluate.few_steps     takes minutes; resumes if interrupted

Every sampling paints the same captions from the same noise. The results, caption by caption, are
written to data/measurements/few_steps.json.
"""

import contextlib
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..adapt import lora
from ..checkpoint.write import save_file
from ..config import SchedulerConfig
from ..files import whole_file
from ..pocket.lightning import FILE
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .held_out import square_trials
from .score import BATCH, Trial, by_length
from .settings import VARIED, few_prompts, marks, variety
from .survey import Progress, survey_command, terms_of

RECORD = MEASUREMENTS / "few_steps.json"
RUNS = Path("runs/few_steps")  # the teacher's latents
CHUNK = 56  # pictures that the teacher paints and stores together


@dataclass(frozen=True)
class Sampling:
    """The settings from noise to picture. `str` gives the key of the results in the record."""

    steps: int
    guidance: float = 1  # 1: none, which halves the runs of the transformer
    lightning: bool = True  # shift 3 and no terminal stretch; else the model's own schedule
    lora: float = 0  # scale of the Lightning LoRA; 0: without it

    @property
    def runs(self) -> int:
        """How often the transformer runs for one picture."""
        return self.steps * (1 + (self.guidance > 1))

    def __str__(self) -> str:
        guidance = f"guidance {self.guidance:g}" if self.guidance > 1 else "no guidance"
        schedule = "Lightning" if self.lightning else "own"
        adapter = f"LoRA {self.lora:g}" if self.lora else "no LoRA"
        steps = f"{self.steps} step{'s' * (self.steps > 1)}"
        return f"{steps}, {guidance}, {schedule} schedule, {adapter}"


TEACHER = Sampling(20, 4, lightning=False)
STUDENT = Sampling(4, lora=1)  # what the LoRA was trained for
SAMPLINGS = (
    STUDENT,
    Sampling(4),
    Sampling(2, lora=1),
    Sampling(2),
    Sampling(4, lightning=False, lora=1),
    Sampling(4, lightning=False),
    Sampling(4, 4, lora=1),
    Sampling(1, lora=1),
    Sampling(1),
    Sampling(4, lora=0.5),
    Sampling(4, lora=1.5),
    Sampling(8, lora=1),
    Sampling(8),
    Sampling(2, lightning=False),
)
VARIED_SAMPLINGS = (STUDENT, Sampling(4))  # the teacher's variety is in settings.py's record


@contextlib.contextmanager
def applied(pipe, sampling: Sampling):
    """The pipeline with the schedule and the LoRA of a sampling; both are undone on exit."""
    own, report = pipe.scheduler, None
    if sampling.lightning:
        pipe.scheduler = SchedulerConfig.lightning()
    try:
        if sampling.lora:
            report = lora.load(pipe.transformer, FILE, sampling.lora)
            lora.merge(pipe.transformer)  # a run takes the same time as without a LoRA
        yield pipe
    finally:
        pipe.scheduler = own
        if report:
            report.adapter.remove()


def paint(pipe, trial_list: list[Trial], sampling: Sampling):
    """Trials -> pictures, the latents they were decoded from (N, C, h, w), processor seconds"""
    order, count = by_length(pipe, trial_list), len(trial_list)
    pictures, ends, start = [None] * count, [None] * count, time.process_time()

    def keep_end(step, sigma, latents, velocity):
        if step == sampling.steps - 1:
            batch_ends.extend(latents - sigma * velocity)  # the last Euler step, to sigma 0

    with applied(pipe, sampling):
        for first in range(0, count, BATCH):
            batch, batch_ends = order[first : first + BATCH], []
            painted = pipe(
                [trial_list[i].prompt for i in batch],
                negative_prompt=" ",
                true_cfg_scale=sampling.guidance,
                num_inference_steps=sampling.steps,
                seed=[trial_list[i].seed for i in batch],
                callback=keep_end,
            )
            for i, picture, end in zip(batch, painted, batch_ends):
                pictures[i], ends[i] = picture, end
    return pictures, torch.stack(ends), time.process_time() - start


def squared_distances(ends, targets) -> list[float]:
    """(N, C, h, w), (N, C, h, w) -> N mean squared distances"""
    return (ends - targets).pow(2).mean(dim=(1, 2, 3)).tolist()


def measure(trial_list: list[Trial], pictures, ends, seconds: float, targets) -> dict:
    """The record's entry for a sampling: marks, distances and seconds, caption by caption"""
    off = " ".join(f"{distance:.4f}" for distance in squared_distances(ends, targets))
    seconds_each = round(seconds / len(trial_list), 3)
    return marks(trial_list, pictures) | {"off": off, "seconds": seconds_each}


def distances(entry: dict) -> list[float]:
    """The distances in a sampling's entry of the record."""
    return [float(distance) for distance in entry["off"].split()]


def paint_seeds(pipe, sampling: Sampling) -> list[list]:
    """A few prompts, each painted from the same few seeds -> pictures [prompt][seed]"""
    pictures, _, _ = paint(pipe, few_prompts(), sampling)
    return [pictures[i : i + VARIED] for i in range(0, len(pictures), VARIED)]


class Teacher:
    """The latents at which the teacher ends, painted in chunks that are stored in a folder."""

    def __init__(self, pipe, trial_list: list[Trial], folder: Path):
        self.pipe, self.trial_list, self.folder = pipe, trial_list, folder
        folder.mkdir(parents=True, exist_ok=True)

    def chunk(self, first: int) -> dict[str, torch.Tensor]:
        """-> "ends" (N, C, h, w) and "seconds" () of the captions from `first` on"""
        part = self.trial_list[first : first + CHUNK]
        file = self.folder / f"{first:04d}_{len(part)}.safetensors"
        if not file.exists():
            _, ends, seconds = paint(self.pipe, part, TEACHER)
            with whole_file(file) as partial:
                save_file({"ends": ends, "seconds": torch.tensor(seconds)}, partial)
        return load_file(file)

    def all(self):
        """-> ends (N, C, h, w), seconds"""
        chunks = [self.chunk(first) for first in range(0, len(self.trial_list), CHUNK)]
        return torch.cat([c["ends"] for c in chunks]), sum(c["seconds"].item() for c in chunks)


def terms(pipe, captions: int) -> dict:
    """What the record depends on: the pocket weights, the captions and the LoRA."""
    return terms_of(pipe, captions) | {"lora": hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}


def survey(pipe, captions: int, file: Path, runs: Path = RUNS) -> dict:
    """Measure every sampling and write the record to `file`. Returns the record."""
    own_terms = terms(pipe, captions)
    progress, trial_list = Progress(file, own_terms), square_trials(captions)
    folder = runs / own_terms["weights"].replace(" ", "_")
    targets, seconds = Teacher(pipe, trial_list, folder).all()

    def of_teacher():
        pictures = [p for batch in targets.split(BATCH) for p in pipe.to_pictures(batch)]
        return measure(trial_list, pictures, targets, seconds, targets)

    def of_sampling(sampling):
        return measure(trial_list, *paint(pipe, trial_list, sampling), targets)

    def variety_of(sampling):
        return variety(paint_seeds(pipe, sampling))

    progress.measure(str(TEACHER), of_teacher)
    for sampling in SAMPLINGS:
        progress.measure(str(sampling), of_sampling, sampling)
    for sampling in VARIED_SAMPLINGS:
        progress.measure(f"variety, {sampling}", variety_of, sampling)
    write_record(progress.results, file)
    progress.file.unlink()
    return progress.results


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("few_steps", 200, RECORD, terms, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())
