"""Few unguided steps: students of any distillation against the base, in score and variety.

    python -m qwenimage_ref.evaluate.one_step dmd2=FILE distill=FILE ...     resumes

Each FILE is an adapter that `qwenimage train` wrote. All paint the same held-out captions from the
same noise, on Lightning's schedule; the teacher paints them with guidance. The results, caption by
caption and with intervals, are written to data/measurements/one_step.json.
"""

import argparse
import contextlib
import hashlib
import itertools
import sys
from dataclasses import replace
from pathlib import Path

from ..adapt import lora
from ..config import SchedulerConfig
from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from .intervals import interval, mean_interval, paired
from .score import Trial, paint, trials
from .settings import distance, marks
from .survey import Progress, terms_of

RECORD = MEASUREMENTS / "one_step.json"
TEACHER, BASE = "teacher, 20 steps, guidance 4", "base"
SEEDS = 3  # seeds of each prompt whose pictures are compared for variety
VARIED = 16  # such prompts


@contextlib.contextmanager
def student(pipe: QwenImage, file: Path | None):
    """The pipeline with an adapter, or with None as it is, on Lightning's schedule"""
    own, adapter = pipe.scheduler, None
    pipe.scheduler = SchedulerConfig.lightning()
    try:
        if file is not None:
            adapter = lora.load(pipe.transformer, file).adapter
        yield pipe
    finally:
        pipe.scheduler = own
        if adapter is not None:
            adapter.remove()


def measure(pipe: QwenImage, captions: int, steps: int, cfg: float) -> dict:
    """-> marks of the captions, and for each varied prompt how far its pictures are apart"""
    asked = trials(captions)
    result = marks(asked, paint(pipe, asked, steps, cfg, quiet=True))
    several = [
        replace(trial, seed=seed) for trial in asked[: min(VARIED, captions)]
        for seed in range(SEEDS)
    ]  # fmt: skip
    return result | {"apart": apart(several, paint(pipe, several, steps, cfg, quiet=True))}


def apart(several: list[Trial], pictures: list) -> list[float]:
    """Pictures of SEEDS seeds for each prompt -> the mean distance of two, prompt by prompt"""
    groups = [pictures[i : i + SEEDS] for i in range(0, len(several), SEEDS)]
    return [
        round(sum(distance(a, b) for a, b in itertools.combinations(group, 2)) * 2
              / (SEEDS * (SEEDS - 1)), 3)
        for group in groups
    ]  # fmt: skip


def rows(results: dict[str, dict]) -> dict[str, dict]:
    """{name: what `measure` returned} -> shares and variety with intervals, each less the base's"""
    table = {}
    for name, result in results.items():
        table[name] = {"variety": mean_interval(result["apart"])}
        for what in ("scene", "word"):
            mine = _answers(result[what])
            table[name][what] = interval(sum(mine), len(mine))
            if name != BASE and mine:
                table[name][f"{what} less the base's"] = paired(mine, _answers(results[BASE][what]))
    return table


def _answers(line: str) -> list[bool]:
    return [mark == "1" for mark in line if mark != "-"]


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.one_step")
    parser.add_argument("students", nargs="+", metavar="NAME=FILE", help="adapters of students")
    parser.add_argument("--steps", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument("--captions", type=int, default=200, metavar="N", help="default 200")
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE")
    options = parser.parse_args(arguments)
    files = dict(text.partition("=")[::2] for text in options.students)
    wrong = [name for name, file in files.items() if name in (BASE, TEACHER) or not file]
    if wrong or options.captions < 2:
        what = "students must be NAME=FILE" if wrong else "--captions must be at least 2"
        print(f"{what}, got {wrong[0] if wrong else options.captions}", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(options.base)
    hashes = {n: hashlib.sha256(Path(f).read_bytes()).hexdigest()[:12] for n, f in files.items()}
    terms = terms_of(pipe, options.captions) | {"steps": options.steps, "students": hashes}
    progress = Progress(options.to, terms)
    progress.measure(TEACHER, measure, pipe, options.captions, 20, 4.0)
    for name, file in {BASE: None, **files}.items():
        with student(pipe, None if file is None else Path(file)):
            progress.measure(name, measure, pipe, options.captions, options.steps, 1.0)
    results = {name: progress.results[name] for name in (TEACHER, BASE, *files)}
    table = rows(results)
    write_record(terms | {"rows": table, "results": results}, options.to)
    progress.file.unlink()
    for name, row in table.items():
        shares = ", ".join(f"{what} {row[what]['share']}" for what in ("scene", "word"))
        print(f"{name}: {shares}, variety {row['variety']['mean']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
