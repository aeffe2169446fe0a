"""The pocket model's score: it paints held-out captions, and a program reads the pictures back."""

import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..pictures import sheet
from ..pocket.lessons import trained_scenes
from ..posters.draw import Scene, caption, draw, sample_scene
from ..posters.read import score
from . import tables, text_accuracy
from .intervals import interval, mean_interval, paired
from .psnr_ssim import psnr, reconstruct, ssim
from .text_accuracy import Written

TEST_SEED = 20_000_000  # first seed of the search for held-out scenes
COPIED_SEED = 30_000_000  # first seed of the posters on which the VAE is measured
COPIED = 100  # posters of each kind, at most
BATCH = 8  # pictures painted at a time


@dataclass(frozen=True)
class Trial:
    """One held-out caption."""

    scene: Scene
    language: str  # en or zh
    prompt: str
    seed: int  # the noise starts from it


def held_out() -> Iterator[Trial]:
    """Captions of scenes that are in no training picture: two thirds with a word, a third Chinese.

    Nearly a third of them combine a colour and a shape, or two shapes, that never meet in training.
    """
    trained = trained_scenes()
    for i in itertools.count():
        # careful: there are few scenes without a word, so a new seed may draw a trained one
        tries = (sample_scene(TEST_SEED + 1000 * i + j, unseen=None) for j in range(1000))
        scene = next(scene for scene in tries if scene not in trained)
        language = "zh" if random.Random(TEST_SEED + i).random() < 1 / 3 else "en"
        yield Trial(scene, language, caption(scene, language), i)


def trials(count: int) -> list[Trial]:
    """The first of them."""
    return list(itertools.islice(held_out(), count))


def in_english(trial: Trial) -> Trial:
    """The same scene and noise with an English caption."""
    return dataclasses.replace(trial, language="en", prompt=caption(trial.scene, "en"))


def by_length(pipe, trial_list: list[Trial]) -> list[int]:
    """The indices of the trials, sorted by the length of their prompts in tokens."""
    lengths = [len(pipe.tokenizer.encode(trial.prompt)) for trial in trial_list]
    return sorted(range(len(trial_list)), key=lengths.__getitem__)


def paint(
    pipe, trial_list: list[Trial], steps: int = 20, cfg: float = 4.0, quiet: bool = False
) -> list:
    """Trials -> their pictures in the same order, in batches of one size and similar length."""
    painted = [None] * len(trial_list)
    with tqdm(total=len(trial_list), unit="picture", disable=quiet) as bar:
        for batch in _batches(by_length(pipe, trial_list), trial_list):
            width, height = trial_list[batch[0]].scene.size
            pictures = pipe(
                [trial_list[i].prompt for i in batch],
                negative_prompt=" ",
                true_cfg_scale=cfg,
                height=height,
                width=width,
                num_inference_steps=steps,
                seed=[trial_list[i].seed for i in batch],
            )
            for i, picture in zip(batch, pictures):
                painted[i] = picture
            bar.update(len(batch))
    return painted


def _batches(order: list[int], trial_list: list[Trial]) -> list[list[int]]:
    """Indices of trials -> the same in their order, size by size, at most BATCH at a time"""
    groups = {}
    for i in order:
        groups.setdefault(trial_list[i].scene.size, []).append(i)
    return [
        group[start : start + BATCH]
        for group in groups.values()
        for start in range(0, len(group), BATCH)
    ]


def read_back(trial_list: list[Trial], pictures) -> list[dict]:
    """-> for each picture, which parts of its scene are right: the dictionaries of read.score"""
    return [score(trial.scene, picture) for trial, picture in zip(trial_list, pictures)]


# -- questions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A row of the table: the captions it counts, and what must be right in their pictures."""

    right: tuple[str, ...]  # keys of a score, all of which must be true
    of: Callable[[Trial], bool] = lambda trial: True


def _one(trial: Trial) -> bool:
    return len(trial.scene.shapes) == 1


def _two(trial: Trial) -> bool:
    return len(trial.scene.shapes) == 2


def _in(language: str) -> Callable[[Trial], bool]:
    return lambda trial: trial.language == language


def _letters(count: int) -> Callable[[Trial], bool]:
    return lambda trial: len(trial.scene.word) == count


QUESTIONS = {
    "whole scene": Question(("scene",)),
    "  shapes": Question(("shapes",)),
    "  colours": Question(("colours",)),
    "  places and relation": Question(("layout",)),
    "  background": Question(("background",)),
    "scene, combinations never trained": Question(("scene",), lambda trial: trial.scene.unseen),
    "scene, English": Question(("scene",), _in("en")),
    "scene, Chinese": Question(("scene",), _in("zh")),
    # the six questions of GenEval, which detects its objects in photographs
    "single object": Question(("count", "shapes"), _one),
    "two objects": Question(("count", "shapes"), _two),
    "counting": Question(("count",)),
    "colour of a single object": Question(("colours",), _one),
    "colours, each on its own object": Question(("shapes", "colours"), _two),
    "position of a single object": Question(("layout",), _one),
    "position of one to the other": Question(("shapes", "layout"), _two),
    "word exactly right": Question(("word",), lambda trial: trial.scene.word != ""),
    "  1 character": Question(("word",), _letters(1)),
    "  2 characters": Question(("word",), _letters(2)),
    "  3 characters": Question(("word",), _letters(3)),
    "  4 characters": Question(("word",), _letters(4)),
}


def answers(trial_list: list[Trial], scores: list[dict], questions=QUESTIONS) -> dict:
    """-> {question: {"right", "of", "share", "low", "high"}}, 95 % intervals"""
    rows = {}
    for name, question in questions.items():
        counted = [result for trial, result in zip(trial_list, scores) if question.of(trial)]
        right = sum(all(result[key] for key in question.right) for result in counted)
        rows[name] = interval(right, len(counted))
    return rows


def languages(pipe, trial_list, scores, steps: int, cfg: float, quiet: bool = False) -> dict:
    """Chinese against English in pairs: each Chinese caption is painted again in English.

    Scene and noise stay the same, so that only the language can make a difference.
    """
    chinese = [
        (trial, result) for trial, result in zip(trial_list, scores) if trial.language == "zh"
    ]
    translated = [in_english(trial) for trial, _ in chinese]
    english = read_back(translated, paint(pipe, translated, steps, cfg, quiet))
    pairs = [(zh, en) for (_, zh), en in zip(chinese, english)]
    worded = [pair for pair, trial in zip(pairs, translated) if trial.scene.word]
    groups = {"scene": pairs, "word": worded}
    return {
        key: paired(*([bool(result[key]) for result in side] for side in zip(*group)))
        for key, group in groups.items()
        if group
    }


def fidelity(vae, count: int = COPIED) -> dict:
    """PSNR and SSIM of the VAE on true posters, with and without text: means and intervals"""
    rows = {}
    for kind, share in {"four-letter words": 1.0, "no word": 0.0}.items():
        seeds = range(COPIED_SEED, COPIED_SEED + count)
        drawn = [draw(sample_scene(seed, None, share, (4,)), seed) for seed in seeds]
        img = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2) / 255
        again = reconstruct(vae, img)
        rows[kind] = {
            "psnr": mean_interval(psnr(again, img).tolist()),
            "ssim": mean_interval(ssim(again, img).tolist()),
        }
    return rows


@dataclass(frozen=True)
class Suite:
    """What the painter of one edition is asked."""

    edition: int
    held_out: Callable[[], Iterator[Trial]]  # captions of scenes that are in no training picture
    questions: dict[str, Question]
    fidelity: Callable[..., dict]  # (vae, count) -> rows of PSNR and SSIM


FIRST = Suite(1, held_out, QUESTIONS, fidelity)


def evaluate(
    pipe,
    count: int = 200,
    steps: int = 20,
    cfg: float = 4.0,
    quiet: bool = False,
    suite: Suite = FIRST,
) -> dict:
    """-> {"rows": from `answers`, "words": from text_accuracy, "paired": from `languages`, ...}

    "wrong" lists the numbers of the captions whose scene or word came out wrong.
    """
    trial_list = list(itertools.islice(suite.held_out(), count))
    start = time.monotonic()
    scores = read_back(trial_list, paint(pipe, trial_list, steps, cfg, quiet))
    seconds = (time.monotonic() - start) / count
    written = [Written(t.scene, t.language, s["reading"]) for t, s in zip(trial_list, scores)]
    return {
        "captions": count,
        "steps": steps,
        "cfg": cfg,
        "seconds_per_picture": round(seconds, 2),
        "rows": answers(trial_list, scores, suite.questions),
        "words": text_accuracy.measure(written),
        "wrong": [i for i, s in enumerate(scores) if not (s["scene"] and s["word"])],
        "paired": languages(pipe, trial_list, scores, steps, cfg, quiet),
        "vae": suite.fidelity(pipe.vae, max(2, min(count, COPIED))),
    }


def table(result: dict) -> str:
    """The result of `evaluate` as lines of text."""
    settings = f"{result['steps']} steps, guidance {result['cfg']}"
    lines = [f"{result['captions']} held-out captions, {settings}", *tables.shares(result["rows"])]
    if words := result.get("words"):  # records of before 0.2 have none
        lines += ["", *tables.words(words)]
    lines += ["", *tables.pairs(result["paired"]), "", *tables.copies(result["vae"])]
    return "\n".join(lines)


def contact_sheet(pictures, columns: int = 8) -> np.ndarray:
    """N pictures of one size -> one picture of them in rows, the last row padded with white"""
    return np.asarray(sheet(pictures, columns))
