"""GenEval's six categories on the pocket model, judged by the exact reader.

GenEval (Ghosh, Hajishirzi and Schmidt, 2023) asks for one object, two objects, a number of them,
a colour, a position and two colours on two objects, and judges photographs with a detector. Here
the captions are posters', and nothing is mistaken for anything else: a share of this table says how
good the painter is, and cannot be compared with the published ones.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterator

from ..posters.captions import caption
from ..posters.scene import SEVERAL
from . import tables
from .intervals import interval, mean_of_shares
from .score import Question, Suite, Trial, paint, read_back

UNASKED = {  # categories that no caption of an edition's world asks for, and why
    1: {"counting": "the first edition has no caption that counts"},
    2: {},
}


def one(trial: Trial) -> bool:
    return len(trial.scene.shapes) == 1


def two(trial: Trial) -> bool:
    """Two shapes that differ, of which one stands beside or above the other."""
    return len(trial.scene.shapes) == 2 and not counts(trial)


def counts(trial: Trial, count: int | None = None) -> bool:
    """Several equal shapes, `count` of them where it is given."""
    return trial.scene.layout == SEVERAL and count in (None, len(trial.scene.shapes))


# No shape may be missing or too many: GenEval itself overlooks surplus ones, except where it counts
CATEGORIES = {
    "one object": Question(("count", "shapes"), one),
    "two objects": Question(("count", "shapes"), two),
    "counting": Question(("count", "shapes"), counts),
    "colours": Question(("shapes", "colours"), one),
    "position": Question(("shapes", "layout"), two),
    "colour attribution": Question(("shapes", "colours"), two),
}


def prompts(suite: Suite, count: int) -> dict[str, list[Trial]]:
    """-> {category: `count` held-out captions}, those of this edition; no caption comes twice"""
    dealt = {name: [] for name in CATEGORIES if name not in UNASKED[suite.edition]}
    held_out = suite.held_out()
    while min(map(len, dealt.values())) < count:
        trial = next(held_out)
        fitting = [name for name in dealt if CATEGORIES[name].of(trial)]
        name = min(fitting, key=lambda name: len(dealt[name]))
        if len(dealt[name]) < count:
            dealt[name].append(_worded(trial, suite.edition) if name == "position" else trial)
    return dealt


def _worded(trial: Trial, edition: int) -> Trial:
    """In a wording of its own: only so a caption can ask for "right of" and "below", too."""
    seed = f"position {trial.seed}"
    return dataclasses.replace(trial, prompt=caption(trial.scene, trial.language, seed, edition))


def evaluate(
    pipe, suite: Suite, count: int = 100, steps: int = 20, cfg: float = 4.0, quiet: bool = False
) -> dict:
    """-> {"rows": {category: share}, "overall": their mean, "unasked": {category: reason}, ...}

    "wrong" lists the captions of each category whose pictures do not show what it asks for.
    """
    dealt, start = prompts(suite, count), time.monotonic()
    trial_list = list(itertools.chain(*dealt.values()))
    scores = iter(read_back(trial_list, paint(pipe, trial_list, steps, cfg, quiet)))
    seconds = (time.monotonic() - start) / len(trial_list)
    rows, wrong = {}, {}
    for name, asked in dealt.items():
        wrong[name] = list(_failures(name, asked, itertools.islice(scores, count)))
        rows[name] = interval(count - len(wrong[name]), count)
    return {
        "edition": suite.edition,
        "captions_per_category": count,
        "steps": steps,
        "cfg": cfg,
        "seconds_per_picture": round(seconds, 2),
        "rows": rows,
        "overall": mean_of_shares(list(rows.values())),
        "unasked": UNASKED[suite.edition],
        "wrong": wrong,
    }


def _failures(name: str, asked: list[Trial], scores) -> Iterator[str]:
    for trial, result in zip(asked, scores):
        if not all(result[key] for key in CATEGORIES[name].right):
            yield trial.prompt


def table(result: dict) -> str:
    """The result of `evaluate` as lines of text."""
    count, overall = result["captions_per_category"], result["overall"]
    bounds = f"{100 * overall['low']:5.1f} to {100 * overall['high']:5.1f}"
    mean = f"mean of {overall['of']} categories"
    settings = f"{result['steps']} steps, guidance {result['cfg']}"
    return "\n".join(
        [
            f"GenEval's categories, edition {result['edition']}: {count} held-out captions each, "
            f"{settings}",
            *tables.shares(result["rows"]),
            f"{mean:36}               {100 * overall['mean']:5.1f}%   {bounds}",
            *(f"{name:36} not scored: {reason}" for name, reason in result["unasked"].items()),
        ]
    )
