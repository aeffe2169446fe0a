"""Flow-GRPO on the pocket model: a reward that holds, one that is hacked, and what the KL mends.

    python -m qwenimage_ref.evaluate.rewarded     resumes
    python -m qwenimage_ref.evaluate.rewarded --beta 0     without the KL; and the bad reward

Each of three seeds trains a run that is rewarded for the right count on captions that ask for three
equal shapes, which the base counts worst: it is right more often on two or four. Everything else of
a caption is never rewarded, and is measured beside it. The record goes to data/measurements/
rewarded.json. That of --beta 0, rewarded_0.json, has two more runs of one seed, rewarded for vivid
colours, whatever the caption says: without the KL and with it. Their pictures are
data/pictures/hack.png.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..adapt import lora
from ..pictures import sheet
from ..posters.reward import word_or_count
from ..provenance import write_record
from ..repository import DATA, MEASUREMENTS, in_a_clone
from ..train.grpo import Reward, train
from ..train.loop import Recipe, Run
from ..train.prompts import Prompt
from . import hard_captions, seed_by_seed
from .hard_captions import (
    HARD,
    PLAIN,
    SETTINGS,
    THREE,
    THREES,
    answers,
    compared,
    held_out,
)
from .intervals import bounded_mean, mean_interval
from .score import Trial, paint, read_back
from .seed_by_seed import Options, log_of
from .survey import Progress

RECORD = MEASUREMENTS / "rewarded.json"
FREE = RECORD.with_stem("rewarded_0")  # the record without a KL
PICTURES = DATA / "pictures" / "hack.png"
CAPTIONS = 512  # captions of training
SHOWN = 6  # captions of the pictures
AS_TRAINED = (6, 1.0)  # sampling steps and guidance


def vivid(pictures: list[Image.Image], prompt: str) -> list[float]:
    """A bad reward: how strong the colours of each picture are, 0 to 1. The prompt is not read."""
    arrays = [np.asarray(picture.convert("RGB"), dtype=np.float32) for picture in pictures]
    return [float((each.max(2) - each.min(2)).mean() / 255) for each in arrays]


@dataclass(frozen=True)
class Training:
    """A run: its reward, recipe and choices, and the captions that it is trained on."""

    reward: object  # (pictures, prompt) -> numbers
    recipe: Recipe
    choices: Reward
    kinds: dict


MAIN = Training(
    word_or_count,
    Recipe(steps=120, batch=4, lr=1e-3, warmup=2, decay_from=0.7, ema=0.9),
    Reward(rank=16, group=8, steps=6, noisy=2, guidance=1.0, inner=1, beta=0.02),
    THREES,
)
HACKED = 0  # the seed that trains the bad reward, too
SHORT = Recipe(steps=60, batch=4, lr=1e-3, warmup=2, decay_from=0.7, ema=0.9)
HACKS = {
    f"{beta:g}": Training(vivid, SHORT, replace(MAIN.choices, beta=beta), HARD | PLAIN)
    for beta in (0.0, 1.0)
}


def trained(pipe, training: Training, folder: Path, weights: str) -> Run:
    """An adapter on pipe.transformer, trained to its end and averaged"""
    trials = hard_captions.training(CAPTIONS, training.kinds)
    prompts = [Prompt(t.prompt, hard_captions.text_states(pipe, t.prompt)) for t in trials]
    empty = hard_captions.text_states(pipe, " ")
    shape = tuple(pipe.noise(1, 128, 128, seed=0).shape[1:])

    def judge(latents, prompt: str):
        return training.reward(pipe.to_pictures(latents), prompt)

    run = train(
        pipe.transformer, prompts, empty, judge, shape, pipe.scheduler, training.recipe,
        training.choices, folder, f"{weights} {training.reward.__name__}",
    )  # fmt: skip
    run.use_average()
    return run


def survey(pipe, options: Options, terms: dict, file: Path) -> dict:
    """Train and measure every run and write the record to `file`. Returns it."""
    folder = options.runs / f"{terms['weights'].replace(' ', '-')}-{options.seed}"
    trials = held_out(options.captions, threes=True)
    progress = seed_by_seed.with_before(pipe, options, terms, file, trials, answers)
    recipe = replace(MAIN.recipe, steps=options.steps, seed=options.seed)
    main = replace(MAIN, recipe=recipe, choices=replace(MAIN.choices, beta=options.beta))
    run = trained(pipe, main, folder / "main", terms["weights"])
    for name, setting in SETTINGS.items():
        progress.measure(f"after, {name}", answers, pipe, trials, *setting)
    lora.adapters(pipe.transformer)[0].remove()
    results = {
        name: compared(
            *(progress.results[f"{when}, {name}"] for when in ("before", "after")), (THREE,)
        )
        for name in SETTINGS
    }
    shown = PICTURES if options.to == FREE else file.with_suffix(".png")
    hacked = options.seed == HACKED and options.beta == 0
    hacks = {"hacks": _hacks(pipe, progress, folder, trials, shown)} if hacked else {}
    record = (
        terms
        | {
            "prompts a round": MAIN.recipe.batch,
            "group": MAIN.choices.group,
            "log": log_of(run.log_file),
            "results": results,
        }
        | hacks
    )
    write_record(record, file)
    progress.file.unlink()
    return record


def _hacks(pipe, progress: Progress, folder: Path, trials, shown: Path) -> dict:
    """The base and both hacked runs: how vivid, how right; their pictures go to `shown`"""
    trials = trials[:: max(1, len(trials) // 48)]
    rows = [_shown(pipe, trials)]
    progress.measure("vivid, base", _vividness, pipe, trials)
    for name, training in HACKS.items():
        run = trained(pipe, training, folder / f"vivid-{name}", progress.results["weights"])
        progress.measure(f"vivid, {name}", _vividness, pipe, trials)
        progress.results[f"vivid, {name}"]["log"] = log_of(run.log_file)
        rows.append(_shown(pipe, trials))
        lora.adapters(pipe.transformer)[0].remove()
    sheet([picture for row in rows for picture in row], SHOWN, gap=4).save(shown)
    captions = [trial.prompt for trial in trials[:: len(trials) // SHOWN][:SHOWN]]
    parts = {name: progress.results[f"vivid, {name}"] for name in ("base", *HACKS)}
    return {"captions shown": captions, "runs": parts}


def _shown(pipe, trials: list[Trial]) -> list[Image.Image]:
    return paint(pipe, trials[:: len(trials) // SHOWN][:SHOWN], *AS_TRAINED, quiet=True)


def _vividness(pipe, trials: list[Trial]) -> dict:
    """How vivid the pictures of the captions are, and what share of the captions they show"""
    pictures = paint(pipe, trials, *AS_TRAINED)
    marks = [hard_captions.mark(result) for result in read_back(trials, pictures)]
    return {"vivid": mean_interval(vivid(pictures, "")), "right": bounded_mean(marks)}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    beta = seed_by_seed.Beta(MAIN.choices.beta, "weight of the KL", zero=True)
    return seed_by_seed.command("rewarded", RECORD, MAIN.recipe.steps, survey, arguments, beta)


if __name__ == "__main__":
    sys.exit(main())
