"""`qwenimage train lora`: every option is checked before the first second is spent."""

import argparse
import sys
from pathlib import Path

from ..repository import POCKET
from .console import UsageError
from .places import demand_folder, demand_output

ABOUT = (
    "Pictures with captions: text files beside them (cat.png, cat.txt), or metadata.csv or "
    "metadata.jsonl with the columns image and prompt; the names in it are relative to its folder, "
    "or absolute and inside it. Any sizes; they are shrunk and cropped to multiples of 16. Encoded "
    "pictures and captions are kept in --runs and encoded once. The training may be stopped at any "
    "moment, even by kill -9; the same command continues."
)
SMALLEST = 16 * 16  # pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="pictures with captions")
    to = "the adapter to write; default lora.safetensors"
    add("--to", type=Path, default=Path("lora.safetensors"), metavar="FILE", help=to)
    base = "the base, a folder or a hub id in the local cache; default data/pocket"
    add("--weights", default=POCKET, metavar="FOLDER", help=base)
    runs = "states, log and samples; default runs/lora"
    add("--runs", type=Path, default=Path("runs/lora"), metavar="FOLDER", help=runs)
    add("--steps", type=int, default=200, metavar="N", help="optimiser steps; default 200")
    batch = "pictures per batch, all of one size; default 1"
    add("--batch", type=int, default=1, metavar="N", help=batch)
    accumulate = "batches whose gradients are averaged into a step; default 1"
    add("--accumulate", type=int, default=1, metavar="N", help=accumulate)
    add("--lr", type=float, default=1e-4, metavar="X", help="largest learning rate; default 1e-4")
    add("--rank", type=int, default=16, metavar="N", help="rows of A, columns of B; default 16")
    add("--alpha", type=float, metavar="A", help="B A is scaled by alpha/rank; default: the rank")
    targets = "layers that are adapted, as in diffusers, DiffSynth, Lightning or musubi"
    add("--targets", default="DiffSynth", metavar="NAME", help=f"{targets}; default DiffSynth")
    sigma = "distribution of the noise levels: uniform, logit-normal, shift or qwen_shift"
    add("--sigma", default="qwen_shift", metavar="NAME", help=f"{sigma}; default qwen_shift")
    add("--shift", type=float, default=2.2, metavar="X", help="of --sigma shift; default 2.2")
    weighting = "of the loss over noise levels: none, bell, sigma_sqrt or cosmap; default none"
    add("--weighting", default="none", metavar="NAME", help=weighting)
    dropout = "share of the captions replaced by the empty one; default 0"
    add("--dropout", type=float, default=0.0, metavar="SHARE", help=dropout)
    ema = "decay of the averaged weights, for example 0.99; default 0, no average"
    add("--ema", type=float, default=0.0, metavar="DECAY", help=ema)
    pixels = "largest area trained at; default: what the weights recommend"
    add("--max-pixels", type=int, metavar="N", help=pixels)
    add("--seed", type=int, default=0, help="of adapter, noise and order; default 0")
    add("--skip-bad", action="store_true", help="leave out examples that cannot be used")
    add("--recompute", action="store_true", help="less memory, a third more time")
    add("--stream", action="store_true", help="the base stays on disk, a block at a time; bf16")
    add("--sample", metavar="PROMPT", help="paint this prompt on the way, into --runs")
    every = "steps between samples; default 100"
    add("--sample-every", type=int, default=100, metavar="N", help=every)
    parser.set_defaults(run=run)


def run(options) -> None:
    """Raises ValueError or OSError, one line, for whatever cannot be trained on or with."""
    if options.to.suffix != ".safetensors":
        raise UsageError(
            f"--to must name a .safetensors file, got {options.to}; try lora.safetensors"
        )
    demand_output("--to", options.to, "lora.safetensors")
    if options.sample_every < 1:
        raise ValueError(f"--sample-every must be at least 1, got {options.sample_every}")
    if options.max_pixels is not None and options.max_pixels < SMALLEST:
        raise ValueError(f"--max-pixels must be at least {SMALLEST}, got {options.max_pixels}")
    if options.sample is not None and not options.sample.strip():
        raise ValueError("--sample must be a prompt, got an empty one")

    from ..checkpoint import locate
    from ..files import remove_partials
    from ..train.dataset import read_folder
    from ..train.run_folder import RunFolder

    try:
        recipe, settings = _recipe(options), _settings(options)
    except ValueError as error:  # the message begins with a field's name, which is the option's
        raise ValueError(f"--{error}") from None
    folder = locate.resolve(options.weights)
    demand_folder("--runs", options.runs)
    remove_partials(options.to)
    runs = RunFolder(options.runs)
    with runs.locked():
        examples, problems = read_folder(options.data, options.skip_bad)
        for problem in problems:
            print(f"qwenimage: note: left out, {problem}", file=sys.stderr)
        _train(options, folder, runs, examples, recipe, settings)


def _recipe(options):
    from ..train.loop import Recipe

    return Recipe(
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        warmup=10,
        decay_from=1.0,
        betas=(0.9, 0.999),
        ema=options.ema,
        seed=options.seed,
    )


def _settings(options):
    from ..train.lora import Settings

    return Settings(
        rank=options.rank,
        alpha=options.rank if options.alpha is None else options.alpha,
        targets=options.targets,
        sigma=options.sigma,
        shift=options.shift,
        weighting=options.weighting,
        dropout=options.dropout,
        accumulate=options.accumulate,
    )


def _train(options, folder: Path, runs, examples: list, recipe, settings) -> None:
    from ..adapt import lora
    from ..pipeline import QwenImage
    from ..train.dataset import encode, weights_id
    from ..train.lora import train
    from ..train.recompute import recompute

    pipe = QwenImage.from_pretrained(folder, stream=options.stream)
    measure = _painter(pipe, options, runs) if options.sample else None
    side = pipe.recommended.get("sample_size", 1024)
    pixels = side * side if options.max_pixels is None else options.max_pixels
    weights = weights_id(folder)
    encoded, empty = encode(pipe, examples, runs, pixels, weights)
    if options.recompute or options.stream:
        recompute(pipe.transformer)
    origin = f"{weights} {pixels} " + " ".join(example.caption for example in examples)
    finished = train(
        pipe.transformer, encoded, empty, recipe, settings, runs, origin,
        measure=measure, measure_every=options.sample_every,
    )  # fmt: skip
    finished.use_average()
    lora.save(pipe.transformer, options.to)
    size = options.to.stat().st_size / 1e6
    layers = len(finished.model.pairs)
    print(f"{options.to}: {layers} layers, rank {settings.rank}, {size:.1f} MB")


def _painter(pipe, options, runs):
    """-> a function that paints the prompt and returns the number of the picture for the log

    Raises ValueError for a prompt or a size that cannot be painted.
    """
    from ..limits import LONGEST_PROMPT

    if len(options.sample) > LONGEST_PROMPT:
        raise ValueError(f"--sample must have at most {LONGEST_PROMPT:,} characters")
    pipe.tokenizer.encode_prompt(options.sample)
    side = pipe.recommended.get("sample_size", 1024)
    pipe.noise(1, side, side)  # a check that the memory suffices

    def sample() -> dict:
        steps = pipe.recommended.get("num_inference_steps", 50)
        picture = pipe(options.sample, " ", num_inference_steps=steps, seed=options.seed)[0]
        folder = runs.path / "samples"
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("*.png"))) + 1
        with runs.whole_file(folder / f"{number:03}.png") as partial:
            picture.save(partial, format="PNG")
        return {"sample": number}

    return sample
