"""A judge that drifts: a small classifier, trained on one world, scores pictures of another.

    python -m qwenimage_ref.evaluate.drift [--first FOLDER]

GenEval judges with a detector that was trained on photographs of its time. GenEval 2 (arXiv
2512.16853) finds it saturated and up to 17.7 points away from human judgement. Here the same is
seen in the small: the classifier learns the first edition's posters, where it is all but perfect,
and then answers GenEval's question, are the objects there that the caption asks for, about pictures
it was not made for. The exact reader answers beside it. The record goes to
data/measurements/drift.json; the training, minutes of one core, resumes in runs/drift.
"""

import argparse
import dataclasses
import itertools
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.draw import draw, poster
from ..posters.read import score
from ..posters.scene import COLOURS, COUNTS, SEVERAL, SHAPES, SIZES, Scene, Shape, sample
from ..posters.writing import is_chinese
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.loop import Recipe, Run
from . import second_edition
from .intervals import interval, paired
from .score import FIRST, Suite, paint

RECORD = MEASUREMENTS / "drift.json"
RECIPE = Recipe(steps=600, batch=64, lr=3e-3, decay_from=0.3, ema=0.98)
FIRST_POSTER = 60_000_000  # seed of the first poster of the training
TEST_POSTER = 70_000_000  # seed of the first poster that it is tested on
OBJECTS = [Shape(name, colour) for name in SHAPES for colour in COLOURS]
ASKED = ("count", "shapes", "colours")  # keys of the reader's score that make up the question
BATCH = 50  # pictures judged at a time


class Judge(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> (B, 48), above 0 for each of OBJECTS that the picture shows"""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(2))
        for narrow, wide, stride in (
            (3, 32, 2),
            (32, 64, 2),
            (64, 128, 2),
            (128, 128, 1),
            (128, 128, 2),
        ):
            self.layers.append(nn.Conv2d(narrow, wide, 3, stride, padding=1))
            self.layers.append(nn.BatchNorm2d(wide))
            self.layers.append(nn.ReLU())
        self.head = nn.Linear(128, len(OBJECTS))
        nn.init.constant_(self.head.bias, -3.4)  # one or two of 48 are there

    def forward(self, img):
        # the strongest place speaks for the picture, whose size is then free
        return self.head(self.layers(img).amax((2, 3)))


def train(folder: Path, recipe: Recipe = RECIPE, quiet: bool = False) -> Judge:
    """A judge of the first edition's posters, those of its held-out combinations included."""
    torch.manual_seed(recipe.seed)
    run = Run(Judge(), recipe, folder, origin="the first edition's posters")

    def batch(step):
        start = FIRST_POSTER + step * recipe.batch
        drawn = [poster(seed, None) for seed in range(start, start + recipe.batch)]
        target = torch.tensor([[x in scene.shapes for x in OBJECTS] for scene, *_ in drawn])
        return to_input([picture for _, picture, _ in drawn]), target.float()

    def loss_at(step):
        img, target = batch(step)
        return F.binary_cross_entropy_with_logits(run.model(img), target) * len(OBJECTS)

    run.fit(loss_at, quiet=quiet)
    run.use_average()
    # the average of the weights has no statistics of its own yet
    update_bn((batch(recipe.steps + i)[0] for i in range(8)), run.model)
    return run.model.eval()


@torch.no_grad()
def seen(judge: Judge, pictures) -> list[set[Shape]]:
    """What the judge sees in each picture, of any sizes."""
    each = [None] * len(pictures)
    shape_of = lambda i: np.asarray(pictures[i]).shape  # noqa: E731
    order = sorted(range(len(pictures)), key=shape_of)
    for _, group in itertools.groupby(order, key=shape_of):
        numbers = list(group)
        for start in range(0, len(numbers), BATCH):
            some = numbers[start : start + BATCH]
            for i, row in zip(some, judge(to_input([pictures[i] for i in some])) > 0):
                each[i] = {x for x, there in zip(OBJECTS, row.tolist()) if there}
    return each


# -- the question, asked of both


def judged(scenes: list[Scene], objects: list[set[Shape]]) -> list[bool]:
    """Whether exactly the objects that a scene asks for are seen; how many of each, none can say"""
    return [shapes == set(scene.shapes) for scene, shapes in zip(scenes, objects)]


def read_exactly(scenes: list[Scene], pictures) -> list[bool]:
    scores = [score(scene, picture) for scene, picture in zip(scenes, pictures)]
    return [all(result[key] for key in ASKED) for result in scores]


def near_miss(scene: Scene, seed: int) -> Scene:
    """The scene with one colour, one shape or, where shapes are counted, their number changed."""
    rng = random.Random(f"near miss {seed}")
    shapes = list(scene.shapes)
    if scene.layout == SEVERAL:
        count = rng.choice([n for n in COUNTS if n != len(shapes)])
        return dataclasses.replace(scene, shapes=(shapes[0],) * count)
    i = rng.randrange(len(shapes))
    names, colours = {shapes[i].name}, {shape.colour for shape in shapes}
    if rng.random() < 0.5:
        shapes[i] = Shape(shapes[i].name, rng.choice([c for c in COLOURS if c not in colours]))
    else:
        shapes[i] = Shape(rng.choice([n for n in SHAPES if n not in names]), shapes[i].colour)
    return dataclasses.replace(scene, shapes=tuple(shapes))


GROUPS: dict[str, Callable[[Scene], bool]] = {
    **{f"{w}x{h}": lambda s, size=(w, h): s.size == size for w, h in SIZES},
    "one shape": lambda s: len(s.shapes) == 1,
    "two shapes": lambda s: len(s.shapes) == 2 and s.layout != SEVERAL,
    "several equal shapes": lambda s: s.layout == SEVERAL,
    "no word": lambda s: not s.word,
    "Latin word": lambda s: bool(s.word) and not is_chinese(s.word),
    "Chinese word": lambda s: is_chinese(s.word),
}


# -- the measurement


def on_true_posters(judge: Judge, scenes: list[Scene]) -> dict:
    """-> {group: what judge and reader accept of captions that are right, and of near misses}

    The judge's score, were all captions right, is its share of "right"; the truth is 1, and 0 for
    the near misses.
    """
    pictures = [draw(scene, i) for i, scene in enumerate(scenes)]
    objects = seen(judge, pictures)
    verdicts = {}
    for kind, asked in {
        "right": scenes,
        "near miss": [near_miss(scene, i) for i, scene in enumerate(scenes)],
    }.items():
        verdicts["judge", kind] = judged(asked, objects)
        verdicts["reader", kind] = read_exactly(asked, pictures)
    rows = {}
    for name, belongs in {"all": lambda s: True, **GROUPS}.items():
        members = [i for i, scene in enumerate(scenes) if belongs(scene)]
        if members:
            rows[name] = {
                f"{who} accepts {kind}": interval(sum(verdict[i] for i in members), len(members))
                for (who, kind), verdict in verdicts.items()
            }
    return rows


def on_painted(judge: Judge, pipe, suite: Suite, count: int, quiet: bool = False) -> dict:
    """The score of a painter by judge and by reader, their difference, and how often they agree"""
    trial_list = list(itertools.islice(suite.held_out(), count))
    pictures = paint(pipe, trial_list, quiet=quiet)
    scenes = [trial.scene for trial in trial_list]
    by_judge = judged(scenes, seen(judge, pictures))
    by_reader = read_exactly(scenes, pictures)
    agreed = sum(a == b for a, b in zip(by_judge, by_reader))
    return {
        "judge": interval(sum(by_judge), count),
        "reader": interval(sum(by_reader), count),
        "judge less reader": paired(by_judge, by_reader),
        "agree": interval(agreed, count),
    }


def measure(
    judge: Judge, painters: dict[str, tuple], count: int, painted: int, quiet: bool = False
) -> dict:
    """-> rows for true posters of both editions, and for the pictures of each painter

    painters: {name: (pipe, suite)}. count: true posters of each edition; painted: captions.
    """
    first = [poster(TEST_POSTER + i, None)[0] for i in range(count)]
    sizes = itertools.cycle(SIZES)
    second = [sample(f"drift {i}", unseen=None, size=next(sizes)) for i in range(count)]
    posters = {"first edition": first, "second edition": second}
    bar = tqdm(posters.items(), unit="edition", disable=quiet)
    return {
        "steps": RECIPE.steps,
        "posters": count,
        "true posters": {name: on_true_posters(judge, scenes) for name, scenes in bar},
        "painted": {
            name: on_painted(judge, *painter, painted, quiet) for name, painter in painters.items()
        },
    }


def table(result: dict) -> str:
    """The result of `measure` as lines of text."""
    lines = [f"{'true posters, accepted in per cent':40} right captions     near misses"]
    lines += [f"{'':40} judge  reader     judge  reader"]
    for edition, rows in result["true posters"].items():
        for name, row in rows.items():
            shares = (
                f"{100 * row[f'{who} accepts {kind}']['share']:5.1f}"
                for kind in ("right", "near miss")
                for who in ("judge", "reader")
            )
            lines.append("{:40} {}   {}     {}   {}".format(f"{edition}, {name}", *shares))
    lines += ["", f"{'painted pictures':40} judge  reader     judge less reader, in points"]
    for name, row in result["painted"].items():
        judge, reader, difference = (row[k] for k in ("judge", "reader", "judge less reader"))
        bounds = f"{100 * difference['low']:+.1f} to {100 * difference['high']:+.1f}"
        lines.append(
            f"{name:40} {100 * judge['share']:5.1f}   {100 * reader['share']:5.1f}     "
            f"{100 * difference['difference']:+.1f} ({bounds}) of {difference['of']}"
        )
    return "\n".join(lines)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.drift")
    add = parser.add_argument
    add("--runs", type=Path, default=Path("runs/drift"), help="state and log of the training")
    add("--posters", type=int, default=1400, help="true ones of each edition; default 1,400")
    add("--captions", type=int, default=200, help="painted by each model; default 200")
    add("--first", type=Path, metavar="FOLDER", help="also judge a painter of the first edition")
    add("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    for name in ("posters", "captions"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    painters = {"second edition": (QwenImage.from_pretrained(POCKET), second_edition.SECOND)}
    if options.first:
        painters["first edition"] = (QwenImage.from_pretrained(options.first), FIRST)
    judge = train(options.runs)
    result = measure(judge, painters, options.posters, options.captions)
    write_record(result, options.to)
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
