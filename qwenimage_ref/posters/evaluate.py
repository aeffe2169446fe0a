"""How good is the pocket model? It paints captions, the reader reads them back."""

import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..checkpoint import whole_file
from .draw import Scene, caption, sample_scene
from .pretrain import trained_scenes
from .read import score

TEST_SEED = 20_000_000  # where the held-out scenes are looked for
BATCH = 8  # pictures painted at a time


@dataclass(frozen=True)
class Trial:
    """One held-out caption."""

    scene: Scene
    language: str  # en or zh
    prompt: str
    seed: int  # of the noise


def trials(count: int) -> list[Trial]:
    """Captions of scenes that no training picture shows: two thirds with a word, a third Chinese.

    Nearly a third of them hold a combination of colour and shape, or of two shapes, that training
    never shows in any scene.
    """
    made, trained = [], trained_scenes()
    for i in range(count):
        # careful: scenes without a word are few, so another seed alone does not make them new
        tries = (sample_scene(TEST_SEED + 1000 * i + j, unseen=None) for j in range(1000))
        scene = next(scene for scene in tries if scene not in trained)
        language = "zh" if random.Random(TEST_SEED + i).random() < 1 / 3 else "en"
        made.append(Trial(scene, language, caption(scene, language), i))
    return made


def paint(pipe, made: list[Trial], steps: int = 20, cfg: float = 4.0, quiet: bool = False) -> list:
    """Trials -> their pictures, painted in batches of like length, returned in order."""
    order = sorted(range(len(made)), key=lambda i: len(pipe.tokenizer.encode(made[i].prompt)))
    painted = [None] * len(made)
    with tqdm(total=len(made), unit="picture", disable=quiet) as bar:
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            pictures = pipe(
                [made[i].prompt for i in batch],
                negative_prompt=" ",
                true_cfg_scale=cfg,
                num_inference_steps=steps,
                seed=[made[i].seed for i in batch],
            )
            for i, picture in zip(batch, pictures):
                painted[i] = picture
            bar.update(len(batch))
    return painted


def evaluate(
    pipe, count: int = 200, steps: int = 20, cfg: float = 4.0, quiet: bool = False
) -> dict:
    """-> {"rows": {name: {"right", "of", "share", "low", "high"}}, ...}, 95 % intervals"""
    made, start = trials(count), time.monotonic()
    pictures = paint(pipe, made, steps, cfg, quiet)
    scores = [score(trial.scene, picture) for trial, picture in zip(made, pictures)]
    worded = [i for i, trial in enumerate(made) if trial.scene.word]
    groups = {
        "whole scene": (range(count), "scene"),
        "  shapes": (range(count), "shapes"),
        "  colours": (range(count), "colours"),
        "  places and relation": (range(count), "layout"),
        "  background": (range(count), "background"),
        "scene, combinations never trained": (
            [i for i, t in enumerate(made) if t.scene.unseen],
            "scene",
        ),
        "scene, English": ([i for i, t in enumerate(made) if t.language == "en"], "scene"),
        "scene, Chinese": ([i for i, t in enumerate(made) if t.language == "zh"], "scene"),
        "word exactly right": (worded, "word"),
    }
    for length in range(1, 5):
        of_length = [i for i in worded if len(made[i].scene.word) == length]
        groups[f"  {length} character{'s' if length > 1 else ''}"] = (of_length, "word")
    rows = {
        name: interval(sum(bool(scores[i][key]) for i in chosen), len(chosen))
        for name, (chosen, key) in groups.items()
    }
    seconds = (time.monotonic() - start) / count
    return {
        "captions": count,
        "steps": steps,
        "cfg": cfg,
        "seconds_per_picture": round(seconds, 2),
        "rows": rows,
    }


def interval(right: int, of: int) -> dict:
    """A share and its 95 % interval after Wilson, which does not leave 0 to 1 as others do."""
    if of == 0:
        return {"right": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    numbers = {"share": share, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}
    return {"right": right, "of": of} | {key: round(value, 4) for key, value in numbers.items()}


def table(result: dict) -> str:
    """The result as lines for the screen."""
    how = f"{result['steps']} steps, guidance {result['cfg']}"
    lines = [
        f"{result['captions']} held-out captions, {how}",
        f"{'':36} right    of    share   95 % interval",
    ]
    for name, row in result["rows"].items():
        share = "     -" if row["share"] is None else f"{100 * row['share']:5.1f}%"
        bounds = f"{100 * row['low']:5.1f} to {100 * row['high']:5.1f}"
        lines.append(f"{name:36} {row['right']:5} {row['of']:5}   {share}   {bounds}")
    return "\n".join(lines)


def contact_sheet(pictures, columns: int = 8) -> np.ndarray:
    """N pictures of one size -> one picture of them in rows, the last row filled up with white"""
    tiles = [np.asarray(picture) for picture in pictures]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, 0)


def record(result: dict, file: Path) -> None:
    """Write a result with machine and versions beside the other measurements."""
    from ..measure import provenance  # not at the top: it asks git and the processor

    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial:
        partial.write_text(json.dumps(result | provenance(), indent=2) + "\n", encoding="utf-8")
