"""Options of `qwenimage train MODE`: every default comes from the code that uses it."""

import argparse
import dataclasses
import os
from pathlib import Path

from ..repository import POCKET
from .console import UsageError
from .places import demand_file, demand_folder, demand_output
from .train_data import add_data
from .train_sources import source_of

SMALLEST = 16 * 16  # pixels
COMPUTE = {"bf16": "bfloat16", "fp32": "float32"}  # option: name in torch
LARGEST_RATE = 0.1  # AdamW moves every weight by about so much a step


def add_arguments(parser: argparse.ArgumentParser, mode) -> None:
    parser.description = (
        f"{mode.about} The defaults of what is learned say where they come from; `ours` are "
        "choices of this project."
    )
    add = parser.add_argument
    add_data(parser, mode.data)
    what, to = mode.result
    add("--to", type=Path, default=Path(to), metavar="FILE", help=f"{what}; default {to}")
    base = "the base, a folder or a hub id in the local cache; default data/pocket"
    add("--weights", default=POCKET, metavar="FOLDER", help=base)
    file = "its transformer from another file: fp8, int8 or GGUF too, which stays packed and frozen"
    add("--transformer", type=Path, metavar="FILE", help=file)
    if mode.column:
        known = "a blockwise network to go on from, a file, a folder or canny, depth, inpaint"
        add("--from", dest="from_network", metavar="NET", help=f"{known}; default: a new one")
    preset = "an adapter that stays on the base, in training and in the reference, and is not saved"
    add("--preset-lora", type=Path, metavar="FILE", help=preset)
    runs = f"runs/{mode.name}"
    add("--runs", type=Path, default=Path(runs), metavar="FOLDER",
        help=f"states, log and samples; default {runs}")  # fmt: skip
    _add_recipe(add, mode)
    if mode.whole_option:
        add("--whole", action="store_true", help="train every weight; --to is then a folder")
    defaults = mode.defaults()
    for name, (flag, text) in mode.options.items():
        default = defaults[name]
        shown = "the rank" if name == "alpha" else default
        add(
            flag, dest=f"choice_{name}", type=type(default), metavar=_metavar(default),
            default=None if name == "alpha" else default,
            help=f"{text}; {_default(mode, flag, name, shown)}",
        )  # fmt: skip
    add("--recompute", action="store_true", help="less memory, a third more time")
    add("--stream", action="store_true", help="the base stays on disk, a block at a time; bf16")
    if mode.shared:
        add_shared(add)
    add("--sample", metavar="PROMPT", help="paint this prompt on the way, into --runs")
    every = "steps between samples; default 100"
    add("--sample-every", type=int, default=100, metavar="N", help=every)


def add_shared(add) -> None:
    about = "under torchrun: the weights are divided among its processes; with --prepared"
    add("--shard", action="store_true", help=about)
    compute = "type of --shard's activations and gathered weights; sums are float32; default bf16"
    add("--compute", choices=COMPUTE, default="bf16", help=compute)
    kept = "with --shard: gathered weights stay until the backward pass; faster for a small network"
    add("--keep-gathered", action="store_true", help=kept)


def _metavar(default) -> str:
    return {int: "N", float: "X"}.get(type(default), "NAME")


def _default(mode, flag: str, field: str, shown) -> str:
    """A default and where it comes from, as the help has it"""
    return f"default {shown} ({source_of(mode.name, flag, field)})"


def _add_recipe(add, mode) -> None:
    ema = "decay of the averaged weights, for example 0.99; 0 is no average"
    for name, default, metavar, text in (
        ("steps", mode.steps, "N", "optimiser steps"),
        ("batch", mode.batch, "N", mode.batch_counts),
        ("lr", mode.lr, "X", "largest learning rate"),
        ("ema", 0.0, "DECAY", ema),
        ("seed", 0, "N", "of adapter, noise and order"),
    ):
        shown = _default(mode, f"--{name}", name, f"{default:g}")
        help = f"{text}; {shown}"
        add(f"--{name}", type=type(default), default=default, metavar=metavar, help=help)


# -- checks, before the first second is spent


def check(options, whole: bool, usual: str) -> None:
    """Raises ValueError or OSError, one line, for options that cannot be.

    usual: name of the file to write.
    """
    _demand_network(options.to) if whole else _demand_file(options.to, usual)
    if getattr(options, "prompts", None) is not None:
        demand_file("--prompts", options.prompts)
    if options.transformer is not None and not os.path.isdir(options.transformer):
        demand_file("--transformer", options.transformer)
    if options.sample_every < 1:
        raise ValueError(f"--sample-every must be at least 1, got {options.sample_every}")
    pixels = getattr(options, "max_pixels", None)
    if pixels is not None and pixels < SMALLEST:
        raise ValueError(f"--max-pixels must be at least {SMALLEST}, got {pixels}")
    if options.sample is not None and not options.sample.strip():
        raise ValueError("--sample must be a prompt, got an empty one")
    if options.sample is not None and getattr(options, "prepared", None):
        raise ValueError("--sample must go without --prepared, which loads no text encoder")
    if whole and (options.stream or options.preset_lora):
        raise ValueError("--stream and --preset-lora must go with an adapter, not every weight")
    if getattr(options, "shard", False):
        _check_shared(options)
    elif getattr(options, "keep_gathered", False):
        raise ValueError("--keep-gathered must go with --shard, which gathers weights")


def _check_shared(options) -> None:
    """Raises ValueError for options that do not go with --shard."""
    if not options.prepared:
        raise ValueError(
            "--shard must go with --prepared, so that no process loads an encoder; run "
            "`qwenimage train prepare` first"
        )
    if options.stream or options.preset_lora:
        raise ValueError("--shard must go without --stream and --preset-lora")


def _demand_file(file: Path, usual: str) -> None:
    """Raises UsageError unless weights can be written there, under that name."""
    if file.suffix != ".safetensors":
        raise UsageError(f"--to must name a .safetensors file, got {file}; try {usual}")
    demand_output("--to", file, usual)


def _demand_network(folder: Path) -> None:
    """Raises UsageError unless a transformer can be written there, over nothing else."""
    demand_folder("--to", folder)
    # careful: os.path, because pathlib raises OSError for a name that is too long
    if os.path.isdir(folder) and os.listdir(folder) and not (folder / "config.json").is_file():
        raise UsageError(f"--to must be new, empty or hold a transformer, got {folder}")


def recipe_of(options):
    """The recipe. Raises ValueError, one line that begins with the option's name."""
    from ..train.loop import Recipe

    try:
        recipe = Recipe(
            steps=options.steps,
            batch=options.batch,
            lr=options.lr,
            warmup=10,
            decay_from=1.0,
            betas=(0.9, 0.999),
            ema=options.ema,
            seed=options.seed,
        )
    except ValueError as error:  # the message begins with a field's name, which is the option's
        raise ValueError(f"--{error}") from None
    if recipe.lr >= LARGEST_RATE:
        raise ValueError(
            f"--lr must be below {LARGEST_RATE}, got {recipe.lr:g}; a step moves every weight by "
            "about so much, and 1e-4 is usual"
        )
    return recipe


def choices_of(options, kind: type, table: dict[str, tuple[str, str]]):
    """An objective's choices from the options of a table, {field: (flag, help)}

    Raises ValueError, one line that begins with the option's name.
    """
    fields = {field.name for field in dataclasses.fields(kind)}
    values = {name: getattr(options, f"choice_{name}") for name in table if name in fields}
    if "alpha" in values and values["alpha"] is None:
        values["alpha"] = float(values["rank"])
    try:
        return kind(**values)
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise ValueError(f"{table[name][0]} {rest}") from None
