"""One trait of two: what a plain LoRA and a differential one learn from posters that share a paper.

Two sets of posters have the same captions, each with a word. The unwanted ones show it. The wanted
ones are the same posters without it, and both sets are on one paper, whatever the captions say. A
plain LoRA is trained on the wanted posters and should learn both, no word and the paper; a
differential one is trained on the difference of the sets and should learn to leave out the word
alone. The paper is one of the world's: the pocket VAE takes tints and stripes off a poster. Recipe
and settings are those of the heart, for each of the differential LoRA's two runs, too.
"""

import functools
import itertools
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..pipeline import QwenImage
from ..posters.captions import caption
from ..posters.draw import paint as drawn
from ..posters.draw import place
from ..posters.read import read, score
from ..posters.scene import SQUARE, Mixture, Scene, sample
from ..train import differential, lora
from ..train.dataset import Encoded
from ..train.loop import Recipe, Run
from . import held_out
from .intervals import interval, paired
from .packed_bases import SETTINGS, STEPS, cost, encoded, timed
from .score import Trial, paint

PAPER = "beige"  # background of all posters of both sets; no caption names it
POSTERS = 64  # in each set
WORDED = Mixture((SQUARE,), words=1.0)
HELD_OUT = 1000  # captions that may be asked, at most
ALONE, PLAIN, DIFFERENTIAL = "no adapter", "plain LoRA", "differential LoRA"
# way: how it is trained, and on which sets
LEARNED_FROM = {
    PLAIN: (lora.train, ("wanted",)),
    DIFFERENTIAL: (differential.train, ("unwanted", "wanted")),
}
LESS = {ALONE: (), PLAIN: (ALONE,), DIFFERENTIAL: (ALONE, PLAIN)}  # way: what it is compared with
WORDLESS, TRAINED, SCENE, REST = "no word", "paper of the sets", "scene", "scene but for the paper"
QUESTIONS = (WORDLESS, TRAINED, SCENE, REST)


# -- posters


@dataclass(frozen=True)
class Pair:
    """Two posters of one caption, (H, W, 3) uint8 both, that differ in the word alone."""

    scene: Scene  # what the caption says
    caption: str
    unwanted: np.ndarray  # with the word
    wanted: np.ndarray  # without it


def pairs(count: int) -> list[Pair]:
    """The posters of training, of scenes that are not among the held-out ones"""
    asked = {trial.scene for trial in questions(HELD_OUT)}
    scenes = (sample(f"trait {i}", WORDED) for i in itertools.count())
    fitting = (scene for scene in scenes if scene.background != PAPER and scene not in asked)
    return [_pair(scene, i) for i, scene in enumerate(itertools.islice(fitting, count))]


def _pair(scene: Scene, number: int) -> Pair:
    language = random.Random(f"trait {number}").choice(held_out.LANGUAGES)
    # careful: the word is left out of what is placed; without one in the scene, shapes would move
    placed = replace(place(scene, f"trait {number}"), background=PAPER)
    text = caption(scene, language, edition=2)
    return Pair(scene, text, drawn(placed), drawn(replace(placed, word="")))


@functools.cache
def questions(count: int) -> list[Trial]:
    """The first held-out captions with a word and another paper, of square posters"""
    trials = held_out.held_out((SQUARE,))
    fitting = (t for t in trials if t.scene.word and t.scene.background != PAPER)
    return list(itertools.islice(fitting, count))


# -- training


def examples(pipe: QwenImage, count: int = POSTERS) -> dict[str, list[Encoded]]:
    """-> {"unwanted", "wanted"}: the posters of both sets as training needs them"""
    both = pairs(count)
    captions = [pair.caption for pair in both]
    unwanted = encoded(pipe, [pair.unwanted for pair in both], captions)
    wanted = encoded(pipe, [pair.wanted for pair in both], captions)
    return {"unwanted": unwanted, "wanted": wanted}


def trained(
    pipe: QwenImage, way: str, data: dict[str, list[Encoded]], recipe: Recipe, folder: Path
) -> Run:
    """A LoRA of one way, of LEARNED_FROM, alone on the transformer and averaged"""
    with torch.no_grad():
        empty = pipe.encode_prompt([" "])[0][0]
    train, sets = LEARNED_FROM[way]
    posters = [data[name] for name in sets]
    run = train(pipe.transformer, *posters, empty, recipe, SETTINGS, folder, PAPER, **timed())
    run.use_average()
    return run


def measure(
    pipe: QwenImage, way: str, data: dict[str, list[Encoded]], recipe: Recipe, folder: Path,
    captions: int,
) -> dict:  # fmt: skip
    """Train one way and paint with it -> answers, and loss and seconds of the training

    data: of `examples`. folder: where the runs are kept.
    """
    run = trained(pipe, way, data, recipe, folder)
    try:
        return answers(pipe, questions(captions)) | cost(run, folder)
    finally:
        run.model.remove()


# -- pictures


def answer(trial: Trial, picture) -> dict[str, bool]:
    """What a picture shows, PIL or (H, W, 3) uint8: whether each of QUESTIONS is so"""
    seen, paper = score(trial.scene, picture), read(picture).scene.background
    rest = all(seen[part] for part in ("count", "shapes", "colours", "layout"))
    return dict(zip(QUESTIONS, (seen["reading"] == "", paper == PAPER, seen["scene"], rest)))


def answers(pipe: QwenImage, asked: list[Trial]) -> dict[str, str]:
    """Paint what is asked -> of each question a 0 or 1 for every picture"""
    pictures = paint(pipe, asked, STEPS, 1.0, quiet=True)
    each = [answer(*pair) for pair in zip(asked, pictures)]
    return {key: "".join("01"[row[key]] for row in each) for key in QUESTIONS}


def alone(pipe: QwenImage, captions: int) -> dict[str, str]:
    """What is painted without an adapter"""
    return answers(pipe, questions(captions))


def rows(of_way: dict[str, dict]) -> dict[str, dict]:
    """{way: its answers} of one seed -> shares with intervals, each less those of LESS

    The differences are taken caption by caption, all ways paint from the same noise.
    """
    table = {}
    for way, result in of_way.items():
        table[way] = {key: value for key, value in result.items() if key not in QUESTIONS}
        for key in QUESTIONS:
            table[way][key] = interval(result[key].count("1"), len(result[key]))
            for other in LESS[way]:
                both = ([bit == "1" for bit in each[key]] for each in (result, of_way[other]))
                table[way][f"{key}, less {other}"] = paired(*both)
    return table
