"""The pocket model at other steps and guidance scales: scores, variety, copies, Fréchet distance.

python -m qwenimage_ref.evaluate.settings     takes some minutes; resumes if interrupted

Every setting paints the same captions from the same noise. The results, caption by caption, are
written to data/measurements/pocket_sweeps.json.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..pocket.curriculum import PHASES, Phase
from ..posters.draw import Scene, draw
from ..posters.scene import SQUARE
from ..provenance import provenance
from ..repository import MEASUREMENTS, in_a_clone
from .frechet import features, frechet, frechet_limit
from .held_out import square_trials
from .score import Trial, paint, read_back
from .survey import Progress, survey_command, terms_of, write

RECORD = MEASUREMENTS / "pocket_sweeps.json"
GUIDANCES = (1, 1.5, 2, 3, 4, 6, 8)
STEPS = (2, 4, 8, 12, 20, 30, 50)
DEFAULT = (20, 4)  # steps and guidance; each is held there while the other is swept
VARIED = 6  # prompts, and seeds for each, whose pictures are compared
REDRAWN_SEED = 50_000_000  # first seed of posters drawn again: the same scenes, other jitter
CANDIDATES = 24  # training posters that are compared with a picture pixel by pixel
TRUE_POSTERS, REFERENCE_POSTERS = 400, 1024  # posters measured, and posters measured against
SIZES = (25, 50, 100, 200, 400)  # pictures in a sample
REPEATS = 40  # samples of each size; a single one would be a matter of luck


def settings() -> list[tuple[int, float]]:
    """Steps and guidance of every point of the two sweeps, the default first."""
    points = [DEFAULT, *((DEFAULT[0], cfg) for cfg in GUIDANCES), *((n, DEFAULT[1]) for n in STEPS)]
    return list(dict.fromkeys(points))


def name(steps: int, cfg: float) -> str:
    """The key of a setting in the record."""
    return f"{steps} steps, guidance {cfg:g}"


def marks(trial_list: list[Trial], pictures) -> dict[str, str]:
    """One character for each caption: 1 right, 0 wrong, - where the caption has no word"""
    scores = read_back(trial_list, pictures)
    words = (str(int(s["word"])) if t.scene.word else "-" for t, s in zip(trial_list, scores))
    return {"scene": "".join(str(int(s["scene"])) for s in scores), "word": "".join(words)}


def distance(a, b) -> float:
    """Two pictures -> their mean absolute difference in steps of 1/255"""
    a, b = (np.asarray(picture, dtype=np.float32) for picture in (a, b))
    return float(np.abs(a - b).mean())


# -- variety --------------------------------------------------------------------------------------


def variety(rows: list[list]) -> dict[str, float]:
    """Pictures [prompt][seed] -> mean distance between seeds of a prompt, and between prompts

    Two prompts are compared on the same seed, so that both start from the same noise.
    """
    seeds = [distance(a, b) for row in rows for a, b in itertools.combinations(row, 2)]
    prompts = [
        distance(a, b) for column in zip(*rows) for a, b in itertools.combinations(column, 2)
    ]
    means = {"between seeds": np.mean(seeds), "between prompts": np.mean(prompts)}
    return {key: round(float(mean), 3) for key, mean in means.items()}


def few_prompts() -> list[Trial]:
    """A few prompts, each with the same few seeds in turn"""
    prompts = square_trials(VARIED)
    return [replace(trial, seed=seed) for trial in prompts for seed in range(VARIED)]


def paint_seeds(pipe, cfg: float) -> list[list]:
    """A few prompts, each painted from the same few seeds -> pictures [prompt][seed]"""
    pictures = paint(pipe, few_prompts(), DEFAULT[0], cfg)
    return [pictures[i : i + VARIED] for i in range(0, len(pictures), VARIED)]


def redraw_seeds() -> list[list[np.ndarray]]:
    """The same scenes as true posters, whose variety is the most that the model can learn"""
    seeds = range(REDRAWN_SEED, REDRAWN_SEED + VARIED)
    return [[draw(trial.scene, seed) for seed in seeds] for trial in square_trials(VARIED)]


# -- copies ---------------------------------------------------------------------------------------


def square_posters(lesson: Phase) -> Iterator[int]:
    """The numbers of a lesson's square posters"""
    return (i for i in range(lesson.posters) if lesson.size(i) == SQUARE)


def training_posters() -> dict[tuple, list[tuple[Scene, int]]]:
    """{(background, layout): [(scene, seed)]} of the square posters of the training"""
    posters = {}
    for lesson in PHASES.values():
        for number in square_posters(lesson):
            scene = lesson.scene(number)
            group = posters.setdefault((scene.background, scene.layout), [])
            group.append((scene, lesson.first + number))
    return posters


def nearest(picture, scene: Scene, posters: dict) -> tuple[float, np.ndarray]:
    """-> distance and picture of the training poster that is nearest to a picture of `scene`

    Only the CANDIDATES posters of the same background and layout are compared that have the most
    shapes, colours and letters in common with the scene. posters: from `training_posters`.
    """

    def in_common(poster):
        other, _ = poster
        pairs = list(zip(scene.shapes, other.shapes))
        shared = sum((a.name == b.name) + (a.colour == b.colour) for a, b in pairs)
        return shared + sum(a == b for a, b in zip(scene.word, other.word)) / 4

    group = sorted(posters[scene.background, scene.layout], key=in_common, reverse=True)
    drawn = [draw(*poster) for poster in group[:CANDIDATES]]
    return min(((distance(picture, poster), poster) for poster in drawn), key=lambda pair: pair[0])


def copies(trial_list: list[Trial], pictures) -> dict[str, list[float]]:
    """Distances to the nearest training poster, of painted pictures and of new true posters."""
    posters = training_posters()
    fresh = [draw(trial.scene, REDRAWN_SEED + i) for i, trial in enumerate(trial_list)]
    return {
        kind: [round(nearest(p, t.scene, posters)[0], 2) for t, p in zip(trial_list, chosen)]
        for kind, chosen in {"painted": pictures, "new true posters": fresh}.items()
    }


def recall(pipe, count: int) -> dict[str, int]:
    """How often the picture of a training caption is nearer to its poster than to a redrawn one.

    A model that memorised its posters would always be nearer, one that generalises half the time.
    """
    lesson = PHASES["everything"]
    numbers = itertools.islice(square_posters(lesson), count)
    trained = [Trial(lesson.scene(i), "", lesson.prompt(i), i) for i in numbers]
    nearer = 0
    for trial, picture in zip(trained, paint(pipe, trained, *DEFAULT)):
        to_training = distance(picture, draw(trial.scene, lesson.first + trial.seed))
        nearer += to_training < distance(picture, draw(trial.scene, REDRAWN_SEED + trial.seed))
    return {"nearer to the training poster": nearer, "of": count}


# -- Fréchet distance -----------------------------------------------------------------------------


def samples(vae, pictures) -> dict[str, dict]:
    """Fréchet distance to true posters by sample size, of other true posters and of pictures."""
    last = len(pictures) + TRUE_POSTERS + REFERENCE_POSTERS
    scenes = [trial.scene for trial in square_trials(last)][len(pictures) :]
    drawn = [Image.fromarray(draw(scene, REDRAWN_SEED + i)) for i, scene in enumerate(scenes)]
    true = features(vae, drawn)
    result = {}
    for kind, pool in {"true": true[:TRUE_POSTERS], "painted": features(vae, pictures)}.items():
        sizes = [n for n in SIZES if n <= len(pool)] or [len(pool)]
        rng = torch.Generator().manual_seed(0)
        by_size = {n: _mean_distance(pool, n, true[TRUE_POSTERS:], rng) for n in sizes}
        result[kind] = {"by size": by_size, "limit": round(frechet_limit(by_size), 3)}
    return result


def _mean_distance(pool, n: int, reference, rng) -> float:
    chosen = [pool[torch.randperm(len(pool), generator=rng)[:n]] for _ in range(REPEATS)]
    return round(float(np.mean([frechet(sample, reference) for sample in chosen])), 3)


# -- the command ----------------------------------------------------------------------------------


def sweep(pipe, captions: int, file: Path) -> dict:
    """Measure every setting and write the record to `file`. Returns the record."""
    progress = Progress(file, terms_of(pipe, captions))
    trial_list = square_trials(captions)

    def at(steps, cfg):
        start = time.monotonic()
        pictures = paint(pipe, trial_list, steps, cfg)
        seconds = round((time.monotonic() - start) / captions, 3)
        return marks(trial_list, pictures) | {"seconds_per_picture": seconds}

    def at_default():
        pictures = paint(pipe, trial_list, *DEFAULT)
        return {"copies": copies(trial_list, pictures), "samples": samples(pipe.vae, pictures)}

    def varied(cfg):
        return variety(paint_seeds(pipe, cfg))

    for point in settings():
        progress.measure(name(*point), at, *point)
    progress.measure("at home", at_default)
    progress.measure("recall", recall, pipe, captions)
    progress.measure("variety of true posters", lambda: variety(redraw_seeds()))
    for cfg in (GUIDANCES[0], DEFAULT[1], GUIDANCES[-1]):
        progress.measure(f"variety at guidance {cfg:g}", varied, cfg)
    write(progress.results | provenance(), file)
    progress.file.unlink()
    return progress.results


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("settings", 100, RECORD, terms_of, sweep, arguments)


if __name__ == "__main__":
    sys.exit(main())
