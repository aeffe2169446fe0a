"""The gain of rewriting: prompts outside the grammar, painted as they are and rewritten.

    python -m qwenimage_ref.evaluate.rewriting [--weights FOLDER] [--edition 2]

paints 200 prompts of free_wordings.py twice from the same noise, has the exact reader judge both,
and writes data/measurements/rewrite.json.
"""

import argparse
import dataclasses
import itertools
import random
import sys
from pathlib import Path

from ..pipeline import QwenImage
from ..pocket import curriculum, lessons
from ..posters.rewriting import rewrite
from ..posters.scene import EVENLY, SQUARE, sample, sample_scene
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from .free_wordings import SETS, free_wording
from .intervals import interval, paired
from .score import Trial, paint, read_back
from .suites import edition_of
from .survey import has_terms, terms_of

RECORD = MEASUREMENTS / "rewrite.json"
SEED = 40_000_000  # first seed of the search for scenes
ASKED = ("count", "shapes", "colours", "layout", "word")  # keys of a score


@dataclasses.dataclass(frozen=True)
class FreeTrial:
    """A prompt in free words and what it asks for."""

    trial: Trial
    wording: str  # one of SETS
    says_paper: bool  # whether the prompt speaks of the background

    def right(self, result: dict) -> bool:
        """Whether a picture shows all that the prompt asks for; `result` as from read.score"""
        return all(result[key] for key in ASKED) and (result["background"] or not self.says_paper)


def trials(count: int, edition: int = 1) -> list[FreeTrial]:
    """Free wordings of scenes that no training poster shows; sets take turns, a third Chinese."""
    trained = (lessons if edition == 1 else curriculum).trained_scenes()
    free_trials = []
    for i in range(count):
        seeds = (SEED + 1000 * i + j for j in itertools.count())
        scenes = (sample_scene(s, None) if edition == 1 else sample(s, EVENLY, None) for s in seeds)
        scene = next(s for s in scenes if dataclasses.replace(s, size=SQUARE) not in trained)
        language = "zh" if random.Random(f"free {i}").random() < 1 / 3 else "en"
        prompt, says_paper = free_wording(scene, language, held_out=i % 2 == 1, seed=i)
        free_trials.append(FreeTrial(Trial(scene, language, prompt, i), SETS[i % 2], says_paper))
    return free_trials


def rewritten(trial: Trial, edition: int) -> Trial:
    return dataclasses.replace(trial, prompt=rewrite(trial.prompt, edition).prompt)


def understood(free: FreeTrial, edition: int) -> bool:
    """Whether the rewriter finds the scene that the prompt was written for."""
    scene, asked = rewrite(free.trial.prompt, edition).scene, free.trial.scene
    if scene is None:
        return False
    papers = scene.background if free.says_paper else asked.background
    return dataclasses.replace(scene, background=papers, size=asked.size) == asked


def measure(pipe, count: int = 200, edition: int = 1, steps: int = 20, quiet: bool = False) -> dict:
    """-> rows of shares with intervals and of paired differences, whole and by kind of prompt"""
    free_trials = trials(count, edition)
    as_typed = [free.trial for free in free_trials]
    sides = (as_typed, [rewritten(trial, edition) for trial in as_typed])
    scores = [read_back(side, paint(pipe, side, steps, quiet=quiet)) for side in sides]
    right = [[f.right(s) for f, s in zip(free_trials, results)] for results in scores]
    groups = {"all": lambda free: True}
    groups |= {name: lambda free, n=name: free.wording == n for name in SETS}
    groups |= {
        "English": lambda free: free.trial.language == "en",
        "Chinese": lambda free: free.trial.language == "zh",
        "background unsaid": lambda free: not free.says_paper,
        "with a word": lambda free: free.trial.scene.word != "",
    }
    rows = {}
    for name, belongs in groups.items():
        chosen = [i for i, free in enumerate(free_trials) if belongs(free)]
        if chosen:
            rows[name] = _row([free_trials[i] for i in chosen], right, chosen, edition)
    return terms_of(pipe, count) | {"edition": edition, "steps": steps, "rows": rows}


def _row(free_trials: list[FreeTrial], right, chosen: list[int], edition: int) -> dict:
    typed, better = ([side[i] for i in chosen] for side in right)
    return {
        "as typed": interval(sum(typed), len(chosen)),
        "rewritten": interval(sum(better), len(chosen)),
        "understood": interval(sum(understood(f, edition) for f in free_trials), len(chosen)),
        "rewritten less as typed": paired(better, typed),
    }


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.rewriting")
    parser.add_argument("--weights", type=Path, default=POCKET, metavar="FOLDER")
    help = "whose grammar; default: that of the folder's record, 2 where there is none"
    parser.add_argument("--edition", type=int, choices=(1, 2), help=help)
    parser.add_argument("--prompts", type=int, default=200, help="default 200")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    if options.prompts < 1:
        print(f"--prompts must be at least 1, got {options.prompts}", file=sys.stderr)
        return 2
    edition = options.edition or edition_of(options.weights)
    pipe = QwenImage.from_pretrained(options.weights)
    if has_terms(options.to, terms_of(pipe, options.prompts) | {"edition": edition}):
        print(f"{options.to} was measured on these weights; delete it to measure again")
        return 0
    result = measure(pipe, options.prompts, edition)
    write_record(result, options.to)
    for name, row in result["rows"].items():
        shares = " ".join(
            f"{key} {row[key]['right']:3}" for key in ("as typed", "rewritten", "understood")
        )
        gain = row["rewritten less as typed"]
        print(f"{name:18} of {gain['of']:3}: {shares}; p {gain['p']:.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
