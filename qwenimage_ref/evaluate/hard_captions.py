"""Captions of what the pocket model paints worst, and what is asked before and after a training.

Square posters of three kinds: with words of four letters, with two or three of the characters that
training shows most rarely, and with two to four equal shapes, of which three are the hardest. Plain
ones stand beside them, so that harm to what is not trained shows. An answer is kept as a 0 or 1 for
each caption.
"""

import functools
import itertools
import random

import torch

from ..pocket.curriculum import trained_scenes
from ..posters.captions import caption
from ..posters.reward import mark
from ..posters.scene import SEVERAL, SQUARE, Mixture, Scene, sample
from ..posters.writing import is_chinese
from . import tables
from .intervals import interval, paired
from .score import Question, Trial, paint, read_back

RARE = (0.0, 0.0, 1.0)  # weights of the three levels of Chinese characters
HARD = {
    "long words": Mixture((SQUARE,), counting=0.0, words=1.0, chinese=0.0, lengths=(4,)),
    "rare characters": Mixture(
        (SQUARE,), counting=0.0, words=1.0, chinese=1.0, characters=(2, 3), levels=RARE
    ),
    "counts": Mixture((SQUARE,), counting=1.0, words=0.0),
}
PLAIN = {"plain": Mixture((SQUARE,), counting=0.0, words=0.0)}
THREE = "three equal shapes"
THREES = {THREE: HARD["counts"]}  # the mixture whose scenes of three are taken
SETTINGS = {"6 steps, no guidance": (6, 1.0), "20 steps, guidance 4": (20, 4.0)}


def training(count: int, kinds=HARD) -> list[Trial]:
    """Captions as the base was trained on them; kinds take turns"""
    turns = enumerate(itertools.cycle(kinds.items()))
    drawn = ((name, i, sample(f"tuned {i}", mixture)) for i, (name, mixture) in turns)
    fitting = (_trial(scene, i) for name, i, scene in drawn if _fits(name, scene))
    return list(itertools.islice(fitting, count))


@functools.cache
def held_out(count: int, threes: bool = False) -> list[Trial]:
    """So many captions of each kind, plain ones too, of scenes that no training poster shows

    threes: with THREES as one more kind, the last.
    """
    trained = trained_scenes() | {trial.scene for trial in training(10_000)}
    scenes = []
    for name, mixture in (HARD | PLAIN | (THREES if threes else {})).items():
        drawn = (sample(f"tested {name} {i}", mixture, None) for i in itertools.count())
        fitting = (scene for scene in drawn if scene not in trained and _fits(name, scene))
        scenes += itertools.islice(fitting, count)
    # careful: each caption has noise of its own
    return [_trial(scene, number) for number, scene in enumerate(scenes)]


def _fits(kind: str, scene: Scene) -> bool:
    return kind != THREE or len(scene.shapes) == 3


def _trial(scene: Scene, number: int) -> Trial:
    language = random.Random(f"hard {number}").choice(("en", "en", "zh"))
    return Trial(scene, language, caption(scene, language, edition=2), number)


def _long(trial: Trial) -> bool:
    return bool(trial.scene.word) and not is_chinese(trial.scene.word)


def _rare(trial: Trial) -> bool:
    return is_chinese(trial.scene.word)


def _counting(trial: Trial) -> bool:
    return trial.scene.layout == SEVERAL


def _three(trial: Trial) -> bool:
    return _counting(trial) and len(trial.scene.shapes) == 3


def _two_or_four(trial: Trial) -> bool:
    return _counting(trial) and len(trial.scene.shapes) != 3


def _plain(trial: Trial) -> bool:
    return not (_counting(trial) or trial.scene.word)


HARDEST = {
    "long words": Question(("word",), _long),
    "rare characters": Question(("word",), _rare),
    "counts": Question(("count",), _counting),
}
OTHERS = {
    THREE: Question(("count",), _three),
    "two or four equal shapes": Question(("count",), _two_or_four),
    "background": Question(("background",)),
    "shapes": Question(("shapes",)),
    "colours": Question(("colours",)),
    "places": Question(("layout",)),
    "plain scenes": Question(("scene",), _plain),
}
QUESTIONS = HARDEST | OTHERS


def answers(pipe, trials: list[Trial], steps: int, guidance: float) -> dict:
    """-> of each question a 0 or 1 for every caption that it counts, and each caption's mark"""
    scores = read_back(trials, paint(pipe, trials, steps, guidance))
    bits = {
        name: "".join(
            "01"[all(result[key] for key in question.right)]
            for trial, result in zip(trials, scores)
            if question.of(trial)
        )
        for name, question in QUESTIONS.items()
    }
    return bits | {"marks": [round(mark(result), 4) for result in scores]}


def compared(before: dict, after: dict, trained=tuple(HARDEST)) -> dict:
    """Two results of `answers` -> by question both shares and their difference, with intervals

    trained: names of the questions that "all that was trained" puts together.
    """
    bits = [dict(side) for side in (before, after)]
    for side in bits:
        side["all that was trained"] = "".join(side[name] for name in trained)
    rows = {}
    for name in ("all that was trained", *QUESTIONS):
        old, new = ([bit == "1" for bit in side[name]] for side in bits)
        rows[name] = {
            "before": interval(sum(old), len(old)),
            "after": interval(sum(new), len(new)),
            "difference": paired(new, old),
        }
    return rows


def gains(seeds: list[dict]) -> list[list[str]]:
    """Results of `compared`, one of each seed -> rows of a table: question, before, each seed's
    gain in points, and whether all of their intervals lie on one side of 0
    """
    rows = []
    for name in seeds[0]:
        each = [seed[name]["difference"] for seed in seeds]
        up, down = all(row["low"] > 0 for row in each), all(row["high"] < 0 for row in each)
        points = [tables.within(row, "+") for row in each]
        verdict = "gained" if up else "lost" if down else ""
        rows.append([name, tables.within(seeds[0][name]["before"]), *points, verdict])
    return rows


def wins(before: list[float], after: list[float]) -> dict:
    """Marks of pictures of the same captions from the same noise -> how often the second is better

    The share is of those pairs in which one is better at all, with its interval.
    """
    better = sum(new > old for old, new in zip(before, after))
    worse = sum(new < old for old, new in zip(before, after))
    return interval(better, better + worse) | {"equal": len(before) - better - worse}


@torch.no_grad()
def text_states(pipe, prompt: str) -> torch.Tensor:
    """(T, Dt) of a prompt"""
    return pipe.encode_prompt([prompt])[0][0]
