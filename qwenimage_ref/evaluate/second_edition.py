"""The score of the second edition: per size, count, language, length, frequency and background.

    python -m qwenimage_ref.evaluate.second_edition --curriculum FOLDER --control FOLDER

compares the painter of the curriculum with the control's, which had the same compute: both curves
and both scores go to data/measurements/curriculum.json.
"""

import argparse
import json
import sys
from pathlib import Path

from ..pictures import to_input
from ..pipeline import QwenImage
from ..pocket.assemble import RECORD as TRAINING
from ..posters.draw import draw
from ..posters.scene import BACKGROUNDS, COUNTS, SIZES, SQUARE, Mixture, sample
from ..posters.strokes import level_of
from ..posters.writing import is_chinese
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from . import score
from .geneval import CATEGORIES, counts
from .held_out import held_out
from .intervals import mean_interval, paired
from .psnr_ssim import psnr, reconstruct, ssim
from .score import COPIED, QUESTIONS, Question, Suite, Trial
from .text_accuracy import FREQUENCIES

RECORD = MEASUREMENTS / "curriculum.json"

# --- the questions


def _latin(trial: Trial, length: int | None = None) -> bool:
    word = trial.scene.word
    return bool(word) and not is_chinese(word) and length in (None, len(word))


def _chinese(trial: Trial, level: int | None = None) -> bool:
    word = trial.scene.word
    return is_chinese(word) and level in (None, level_of(word[0]))


def _questions() -> dict[str, Question]:
    """The rows of the table; the first dozen have a goal."""
    rows = {"whole scene": Question(("scene",))}
    rows["word exactly right"] = Question(("word",), lambda trial: trial.scene.word != "")
    rows["  Latin"] = Question(("word",), _latin)
    for n in (1, 2, 3, 4):
        rows[f"    {n} letter{'s' * (n > 1)}"] = Question(("word",), lambda t, n=n: _latin(t, n))
    rows["  Chinese"] = Question(("word",), _chinese)
    for n, name in enumerate(FREQUENCIES):
        rows[f"    {name}"] = Question(("word",), lambda t, n=n: _chinese(t, n))
    rows["counts"] = Question(("scene",), counts)
    for n in COUNTS:
        rows[f"  {n} equal shapes"] = Question(("scene",), lambda t, n=n: counts(t, n))
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        rows[f"scene, {name}"] = Question(("scene",), lambda t, s=size: t.scene.size == s)
        rows[f"word, {name}"] = Question(
            ("word",), lambda t, s=size: t.scene.size == s and t.scene.word != ""
        )
    for paper in BACKGROUNDS:
        name = f"scene and word, {paper}"
        rows[name] = Question(("scene", "word"), lambda t, p=paper: t.scene.background == p)
    for name in ("scene, combinations never trained", "scene, English", "scene, Chinese"):
        rows[name] = QUESTIONS[name]
    return rows | CATEGORIES


# --- the measurement


def fidelity(vae, count: int = COPIED) -> dict:
    """PSNR and SSIM of the VAE on square posters, by the kind of their words"""
    kinds = {
        "four-letter words": Mixture(words=1.0, chinese=0.0, lengths=(4,)),
        "three Chinese characters": Mixture(words=1.0, chinese=1.0, characters=(3,)),
        "no word": Mixture(words=0.0),
    }
    rows = {}
    for kind, mixture in kinds.items():
        scenes = [sample(f"copied {i}", mixture, None, SQUARE) for i in range(count)]
        img = to_input([draw(scene, i) for i, scene in enumerate(scenes)]) / 2 + 0.5
        again = reconstruct(vae, img)
        rows[kind] = {
            "psnr": mean_interval(psnr(again, img).tolist()),
            "ssim": mean_interval(ssim(again, img).tolist()),
        }
    return rows


SECOND = Suite(2, held_out, _questions(), fidelity)


def evaluate(
    pipe, count: int = 1000, steps: int = 20, cfg: float = 4.0, quiet: bool = False
) -> dict:
    """-> as score.evaluate has it, with this edition's questions, for the same table"""
    return score.evaluate(pipe, count, steps, cfg, quiet, SECOND)


def compare(folders: dict[str, Path], count: int, quiet: bool = False) -> dict:
    """-> curves and score of both painters, and the difference of the captions they get right"""
    result, right = {}, []
    for name, folder in folders.items():
        training = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
        logs = {run: lines for run, lines in training["logs"].items() if run != "vae"}
        curves = {run: [[x["step"], x["loss"]] for x in lines] for run, lines in logs.items()}
        scored = evaluate(QwenImage.from_pretrained(folder), count, quiet=quiet)
        result[name] = {"curves": curves, "score": scored}
        right.append([i not in set(scored["wrong"]) for i in range(count)])
    return result | {"curriculum less control": paired(*right)}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.second_edition")
    for name in ("curriculum", "control"):
        help = f"folder that `qwenimage train pocket --edition 2` wrote: the {name}'s"
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FOLDER", help=help)
    parser.add_argument("--captions", type=int, default=1000, help="default 1,000")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    folders = {"curriculum": options.curriculum, "control": options.control}
    result = compare(folders, options.captions)
    write_record(result, options.to)
    row = result["curriculum less control"]
    print(f"curriculum less control: {100 * row['difference']:+.1f} points of {row['of']} captions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
