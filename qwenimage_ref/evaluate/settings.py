"""The pocket model at other settings, and what a score does not see: variety, copies, chance.

python -m qwenimage_ref.evaluate.settings     some minutes; killed and called again, it goes on

Every setting paints the same captions from the same noise. What is found is kept, caption by
caption, in data/measurements/pocket_sweeps.json.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..files import whole_file
from ..pipeline import QwenImage
from ..pocket.lessons import LESSONS
from ..pocket.train import digest
from ..posters.draw import Scene, draw
from ..provenance import provenance
from ..repository import DATA, in_a_clone
from .frechet import features, frechet, frechet_limit
from .score import Trial, paint, read_back, trials

RECORD = DATA / "measurements" / "pocket_sweeps.json"
GUIDANCES = (1, 1.5, 2, 3, 4, 6, 8)
STEPS = (2, 4, 8, 12, 20, 30, 50)
HOME = (20, 4)  # steps and guidance wherever the other one is swept
VARIED = 6  # prompts, and seeds of each, whose pictures are compared
AGAIN_SEED = 50_000_000  # posters from here on are redrawn: the same scenes with other jitter
ALIKE = 24  # training posters looked at for the nearest one
TRUE, REFERENCE = 400, 1024  # true posters that are measured, and that all are measured by
SIZES = (25, 50, 100, 200, 400)  # pictures in a sample
REPEATS = 40  # samples of each size, for one alone is a matter of luck


def settings() -> list[tuple[int, float]]:
    """Steps and guidance of every point of the two sweeps, home first."""
    points = [HOME, *((HOME[0], cfg) for cfg in GUIDANCES), *((n, HOME[1]) for n in STEPS)]
    return list(dict.fromkeys(points))


def name(steps: int, cfg: float) -> str:
    return f"{steps} steps, guidance {cfg:g}"


def marks(made: list[Trial], pictures) -> dict[str, str]:
    """One letter for each caption: 1 right, 0 wrong, - for a word that nobody asked for"""
    scores = read_back(made, pictures)
    words = (str(int(s["word"])) if t.scene.word else "-" for t, s in zip(made, scores))
    return {"scene": "".join(str(int(s["scene"])) for s in scores), "word": "".join(words)}


def distance(a, b) -> float:
    """Two pictures -> their mean difference in steps of 1/255"""
    a, b = (np.asarray(picture, dtype=np.float32) for picture in (a, b))
    return float(np.abs(a - b).mean())


# --- variety


def variety(rows: list[list]) -> dict[str, float]:
    """Pictures [prompt][seed] -> mean distance between seeds of a prompt, and between prompts

    Two prompts are compared on the same seed: they start from the same noise.
    """
    seeds = [distance(a, b) for row in rows for a, b in itertools.combinations(row, 2)]
    prompts = [
        distance(a, b) for column in zip(*rows) for a, b in itertools.combinations(column, 2)
    ]
    means = {"between seeds": np.mean(seeds), "between prompts": np.mean(prompts)}
    return {key: round(float(mean), 3) for key, mean in means.items()}


def paint_seeds(pipe, cfg: float) -> list[list]:
    """A few prompts, each from the same few seeds -> pictures [prompt][seed]"""
    made = [replace(trial, seed=seed) for trial in trials(VARIED) for seed in range(VARIED)]
    pictures = paint(pipe, made, HOME[0], cfg)
    return [pictures[i : i + VARIED] for i in range(0, len(pictures), VARIED)]


def redraw_seeds() -> list[list[np.ndarray]]:
    """The same scenes as true posters: all the variety that there is to learn"""
    seeds = range(AGAIN_SEED, AGAIN_SEED + VARIED)
    return [[draw(trial.scene, seed) for seed in seeds] for trial in trials(VARIED)]


# --- copies


def training_posters() -> dict[tuple, list[tuple[Scene, int]]]:
    """Scene and seed of every poster the painter was taught with, by background and layout"""
    shelves = {}
    for lesson in LESSONS.values():
        for number in range(lesson.posters):
            scene = lesson.scene(number)
            shelf = shelves.setdefault((scene.background, scene.layout), [])
            shelf.append((scene, lesson.first + number))
    return shelves


def nearest(picture, scene: Scene, shelves: dict) -> tuple[float, np.ndarray]:
    """-> distance and picture of the training poster that is most like a picture of a scene

    Looked for among those of the same background and layout that have most shapes, colours and
    letters in common with the scene.
    """

    def in_common(poster):
        other, _ = poster
        pairs = list(zip(scene.shapes, other.shapes))
        alike = sum((a.name == b.name) + (a.colour == b.colour) for a, b in pairs)
        return alike + sum(a == b for a, b in zip(scene.word, other.word)) / 4

    shelf = shelves[scene.background, scene.layout]
    drawn = [draw(*poster) for poster in sorted(shelf, key=in_common, reverse=True)[:ALIKE]]
    return min(((distance(picture, poster), poster) for poster in drawn), key=lambda pair: pair[0])


def copies(made: list[Trial], pictures) -> dict[str, list[float]]:
    """How far from training are painted scenes that it never showed? True ones are as new."""
    shelves = training_posters()
    fresh = [draw(trial.scene, AGAIN_SEED + i) for i, trial in enumerate(made)]
    return {
        kind: [round(nearest(p, t.scene, shelves)[0], 2) for t, p in zip(made, chosen)]
        for kind, chosen in {"painted": pictures, "new true posters": fresh}.items()
    }


def recall(pipe, count: int) -> dict[str, int]:
    """Asked for its first training posters: is it nearer to them than to redraws of their scenes?

    One that learned scenes by heart would be, and one that understood them half of the time.
    """
    lesson = LESSONS["painter"]
    asked = [Trial(lesson.scene(i), "", lesson.prompt(i), i) for i in range(count)]
    nearer = 0
    for i, (trial, picture) in enumerate(zip(asked, paint(pipe, asked, *HOME))):
        shown = distance(picture, draw(trial.scene, lesson.first + i))
        nearer += shown < distance(picture, draw(trial.scene, AGAIN_SEED + i))
    return {"nearer to the training poster": nearer, "of": count}


# --- chance


def samples(vae, pictures) -> dict[str, dict]:
    """Fréchet distance to true posters, of true and of painted ones, by the size of the sample"""
    scenes = [trial.scene for trial in trials(len(pictures) + TRUE + REFERENCE)][len(pictures) :]
    drawn = [Image.fromarray(draw(scene, AGAIN_SEED + i)) for i, scene in enumerate(scenes)]
    true = features(vae, drawn)
    found = {}
    for kind, pool in {"true": true[:TRUE], "painted": features(vae, pictures)}.items():
        sizes = [n for n in SIZES if n <= len(pool)] or [len(pool)]
        rng = torch.Generator().manual_seed(0)
        by_size = {n: _mean_distance(pool, n, true[TRUE:], rng) for n in sizes}
        found[kind] = {"by size": by_size, "limit": round(frechet_limit(by_size), 3)}
    return found


def _mean_distance(pool, n: int, reference, rng) -> float:
    chosen = [pool[torch.randperm(len(pool), generator=rng)[:n]] for _ in range(REPEATS)]
    return round(float(np.mean([frechet(sample, reference) for sample in chosen])), 3)


# --- the record


class Progress:
    """What has been found so far, written after each part; taken up again on the same terms."""

    def __init__(self, file: Path, terms: dict):
        self.file, self.found = file.with_suffix(".progress"), dict(terms)
        if on_terms(self.file, terms):
            self.found = json.loads(self.file.read_text(encoding="utf-8"))

    def keep(self, part: str, find: Callable[..., dict], *arguments) -> None:
        if part not in self.found:
            print(part, flush=True)
            self.found[part] = find(*arguments)
            write(self.found, self.file)


def write(content: dict, file: Path) -> None:
    with whole_file(file) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def terms_of(pipe, captions: int) -> dict:
    """What a record depends on: two with the same terms hold the same numbers."""
    parts = (pipe.text_encoder, pipe.transformer, pipe.vae)
    return {"weights": " ".join(map(digest, parts)), "captions": captions}


def on_terms(file: Path, terms: dict) -> bool:
    """Whether a file holds what was measured on these terms."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {key: stored.get(key) for key in terms} == terms
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def survey_command(
    name: str, captions: int, record: Path, terms: Callable, survey: Callable, arguments=None
) -> int:
    """The command of a survey: measured once for these weights and this many captions.

    terms(pipe, captions) is what the record depends on; survey(pipe, captions, file) writes it.
    """
    parser = argparse.ArgumentParser(prog=f"python -m qwenimage_ref.posters.{name}")
    help = f"at each setting; default {captions}"
    parser.add_argument("--captions", type=int, default=captions, help=help)
    parser.add_argument("--to", type=Path, default=record, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    if options.captions < 2:
        print(f"--captions {options.captions}: at least 2 are needed", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    if on_terms(options.to, terms(pipe, options.captions)):
        print(f"{options.to} is of these weights; remove it to measure anew")
        return 0
    survey(pipe, options.captions, options.to)
    print(f"{options.to}: written")
    return 0


def sweep(pipe, captions: int, file: Path) -> dict:
    """Measure everything -> the record, which is also written"""
    progress = Progress(file, terms_of(pipe, captions))
    made = trials(captions)

    def at(steps, cfg):
        start = time.monotonic()
        pictures = paint(pipe, made, steps, cfg)
        seconds = round((time.monotonic() - start) / captions, 3)
        return marks(made, pictures) | {"seconds_per_picture": seconds}

    def at_home():
        pictures = paint(pipe, made, *HOME)
        return {"copies": copies(made, pictures), "samples": samples(pipe.vae, pictures)}

    def varied(cfg):
        return variety(paint_seeds(pipe, cfg))

    for point in settings():
        progress.keep(name(*point), at, *point)
    progress.keep("at home", at_home)
    progress.keep("recall", recall, pipe, captions)
    progress.keep("variety of true posters", lambda: variety(redraw_seeds()))
    for cfg in (GUIDANCES[0], HOME[1], GUIDANCES[-1]):
        progress.keep(f"variety at guidance {cfg:g}", varied, cfg)
    write(progress.found | provenance(), file)
    progress.file.unlink()
    return progress.found


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("sweeps", 100, RECORD, terms_of, sweep, arguments)


if __name__ == "__main__":
    sys.exit(main())
