"""`qwenimage train pocket`: options, looked at before anything heavy is imported."""

import argparse
import dataclasses
import math
import shutil
from pathlib import Path

from ..repository import POCKET
from .console import say
from .places import demand_folder

POCKET_TIME = (
    "Trains tokenizer, VAE and, in three lessons, text encoder and MMDiT: three and a half hours "
    "of two cores with --compile, by the sum of its steps. The first edition has two lessons. Stop "
    "it at any moment, even by kill -9; the same command continues."
)


def add_weights(parser: argparse.ArgumentParser) -> None:
    help = "folder in the official layout, or a hub id in the local cache; default data/pocket"
    parser.add_argument("--weights", default=POCKET, metavar="FOLDER", help=help)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = POCKET_TIME
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="states and logs")
    parser.add_argument("--to", type=Path, default=Path("runs/pocket"), help="folder to write")
    parser.add_argument("--vae-steps", type=int, metavar="N", help="fewer for a quick try")
    parser.add_argument("--steps", type=int, metavar="N", help="of each of the painter's lessons")
    help = "2, the default, is what data/pocket holds; 1 has square posters and Latin letters only"
    parser.add_argument("--edition", type=int, choices=(1, 2), default=2, help=help)
    help = "edition 2 without its curriculum, at equal compute, for comparison"
    parser.add_argument("--control", action="store_true", help=help)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="in bfloat16 where that is fast; needs a C++ compiler",
    )
    help = "cpu, the default, or cuda; a run may be continued on the other"
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help=help)
    parser.set_defaults(run=_train_pocket)


def demand_number(cfg: float) -> None:
    if not math.isfinite(cfg):
        raise ValueError(f"--cfg must be a finite number, got {cfg}; 4 is usual, 1 is no guidance")


def _train_pocket(options) -> None:
    from ..pocket import editions
    from ..pocket.assemble import write_pocket, write_record

    _demand_training(options)
    # hours before anything is written there
    demand_folder("--runs", options.runs)
    demand_folder("--to", options.to.parent)
    edition = editions.first() if options.edition == 1 else editions.second(options.control)
    tokenizer = edition.tokenizer()
    vae, painter, recipes = _train_networks(options, edition, tokenizer)
    partial = options.to.with_name(options.to.name + ".partial")  # a whole folder takes its name
    shutil.rmtree(partial, ignore_errors=True)
    write_pocket(partial, vae, tokenizer, painter)
    logs = {name: options.runs / name / "log.jsonl" for name in recipes}
    runs = {name: (recipe, logs[name]) for name, recipe in recipes.items()}
    write_record(partial, runs, edition.lessons)
    shutil.rmtree(options.to, ignore_errors=True)
    partial.rename(options.to)
    judge = f"qwenimage eval --weights {options.to}"
    print(f"{options.to}: written; `{judge}` says how good it is")


def _demand_training(options) -> None:
    import torch

    if options.control and options.edition == 1:
        raise ValueError(
            "--control must go with --edition 2; edition 1 has no curriculum to leave out"
        )
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device must be available here, got cuda; try cpu")
    for name, steps in (("vae-steps", options.vae_steps), ("steps", options.steps)):
        if steps is not None and steps < 1:
            raise ValueError(f"--{name} must be at least 1, got {steps}")
    if options.to.exists() and not (options.to / "model_index.json").is_file():
        raise ValueError(f"--to must be new or hold a model, got {options.to}; choose another")


def _train_networks(options, edition, tokenizer):
    """-> the VAE, the painter after the last lesson, and the recipe of every run by its name"""
    from ..pocket import train

    say("VAE: pictures to latents and back")
    recipe = _shorter(edition.vae, options.vae_steps)
    vae = train.train_vae(options.runs / "vae", recipe, edition.world, options.device)
    recipes, painter = {"vae": recipe}, None
    for name, lesson in edition.lessons.items():
        lesson = dataclasses.replace(lesson, recipe=_shorter(lesson.recipe, options.steps))
        say(f"text encoder and MMDiT, together: the lesson {name!r}")
        painter = train.train_painter(
            vae,
            tokenizer,
            options.runs / name,
            lesson,
            painter,
            options.compile,
            edition.configs,
            options.device,
        )
        recipes[name] = lesson.recipe
    return vae, painter, recipes


def _shorter(recipe, steps: int | None):
    return recipe if steps is None else dataclasses.replace(recipe, steps=steps)
