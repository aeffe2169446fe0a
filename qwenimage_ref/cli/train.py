"""`qwenimage train MODE`: every option is checked before the first second is spent."""

import argparse
import functools
import math
from pathlib import Path

from ..repository import POCKET
from . import train_control, train_data, train_memory, train_plan, train_results, train_sharded
from .places import demand_folder
from .train_modes import ADAPTER, MODES, Mode
from .train_options import add_arguments, check, choices_of, recipe_of


def add_modes(models) -> None:
    """Add a parser for each mode, and for what prepares their data."""
    for mode in MODES.values():
        # careful: the options of a mode need torch, and are added when that mode is asked for
        parser = models.add_parser(mode.name, help=mode.help)
        parser.late = functools.partial(add_arguments, parser, mode)
        parser.set_defaults(run=functools.partial(run, mode))
    about = "memory and time of training over several processes, by formulas"
    train_plan.add_arguments(models.add_parser("plan", help=about))
    about = "memory of each mode in one process, by formulas"
    train_memory.add_arguments(models.add_parser("memory", help=about))
    add_prepare(models.add_parser("prepare", help="encode the data of a mode, to train on later"))


def add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "The first of two stages: pictures and captions go through VAE and text encoder, and "
        "`qwenimage train lora|full|dpo|distill --prepared FOLDER` needs neither. May be stopped "
        "and goes on; the result is that of one stage, to the bit."
    )
    add = parser.add_argument
    data = "; ".join(f"for {kind}: {about}" for kind, about in train_data.TABLES.items())
    add("--data", type=Path, required=True, metavar="FOLDER", help=data)
    kinds = tuple(train_data.TABLES)
    add("--kind", choices=kinds, default=kinds[0], help=f"of the data; default {kinds[0]}")
    add("--to", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    base = "whose encoders, a folder or a hub id in the local cache; default data/pocket"
    add("--weights", default=POCKET, metavar="FOLDER", help=base)
    add("--skip-bad", action="store_true", help="leave out pictures that cannot be used")
    pixels = "largest area trained at; default: what the weights recommend"
    add("--max-pixels", type=int, metavar="N", help=pixels)
    add("--stream", action="store_true", help="the encoders stay on disk, a block at a time; bf16")
    parser.set_defaults(run=prepare)


def prepare(options) -> None:
    """Raises ValueError or OSError, one line, for whatever cannot be prepared."""
    from ..checkpoint import locate
    from ..pipeline import QwenImage
    from ..train import prepared
    from ..train.dataset import weights_id
    from ..train.run_folder import RunFolder

    folder = locate.resolve(options.weights)
    demand_folder("--to", options.to)
    rows = train_data.read(options, options.kind)
    runs = RunFolder(options.to)
    with runs.locked():
        pipe = QwenImage.from_pretrained(folder, stream=options.stream)
        pixels, weights = _pixels(pipe, options), weights_id(folder)
        encoded, empty, origin = train_data.encode(pipe, rows, options.kind, runs, pixels, weights)
        prepared.write(runs, encoded, empty, f"{weights} {origin}")
    print(f"{options.to}: {len(encoded)} {options.kind} prepared")


def run(mode: Mode, options) -> None:
    """Raises ValueError or OSError, one line, for whatever cannot be trained on or with."""
    if getattr(options, "shard", False):
        train_sharded.run(mode, options)
        return
    whole = mode.whole or getattr(options, "whole", False)
    check(options, whole, mode.result[1])

    from ..checkpoint import locate
    from ..files import remove_partials
    from ..train.lora import Adapter
    from ..train.recompute import recompute
    from ..train.run_folder import RunFolder

    recipe, choices = recipe_of(options), choices_of(options, mode.kind, mode.options)
    if not whole and not mode.column:
        choices_of(options, Adapter, ADAPTER)
    mode.check(options, recipe, choices)
    folder = locate.resolve(options.weights)
    demand_folder("--runs", options.runs)
    if not whole:
        remove_partials(options.to)
    runs = RunFolder(options.runs)
    with runs.locked():
        rows = train_data.read(options, mode.data, mode.column)
        pipe, preset = _base(options, folder)
        measure = _painter(pipe, options, runs) if options.sample else None
        data, empty, origin = _encoded(options, mode, pipe, rows, folder, runs)
        if options.recompute or options.stream:
            recompute(pipe.transformer)
        finished = mode.train(
            pipe, data, empty, recipe, choices, runs, origin, options,
            measure=measure, measure_every=options.sample_every,
        )  # fmt: skip
        finished.use_average()
        if preset is not None:
            preset.remove()
        if mode.column:
            train_control.write(finished.model, options.to, pipe.dtype)
        else:
            train_results.write(pipe.transformer, options.to, whole)


def _pixels(pipe, options) -> int:
    from .paint import size_of

    if getattr(options, "size", None) is not None:
        return math.prod(size_of(options.size))
    side = pipe.recommended.get("sample_size", 1024)
    largest = getattr(options, "max_pixels", None)
    return side * side if largest is None else largest


def _base(options, folder: Path):
    """-> the pipeline, without encoders where the data are prepared, and the preset adapter"""
    from ..adapt import lora
    from ..pipeline import QwenImage

    if getattr(options, "prepared", None):
        pipe = _without_encoders(options, folder)
    else:
        pipe = QwenImage.from_pretrained(
            folder, stream=options.stream, transformer=options.transformer
        )
    if options.preset_lora is None:
        return pipe, None
    return pipe, lora.load(pipe.transformer, options.preset_lora).adapter


def _without_encoders(options, folder: Path):
    import torch

    from ..checkpoint.model_folder import empty_network, read_model_index
    from ..config import SchedulerConfig
    from ..load import load_weights
    from ..pipeline import QwenImage

    network = empty_network(folder, "transformer")
    dtype = torch.bfloat16 if options.stream else torch.float32
    source = options.transformer or folder / "transformer"
    load_weights(network, source, dtype, streamed=options.stream)
    network.eval().requires_grad_(False)
    scheduler = SchedulerConfig.from_json(folder / "scheduler" / "scheduler_config.json")
    return QwenImage(None, None, network, None, scheduler, read_model_index(folder))


def _encoded(options, mode: Mode, pipe, rows, folder: Path, runs):
    """-> what training needs of the data, the empty caption's text states, the run's origin"""
    from ..train import prepared
    from ..train.dataset import weights_id

    weights = weights_id(folder)
    if getattr(options, "prepared", None):
        data, empty, origin = prepared.read(options.prepared, mode.data)
    else:
        pixels = _pixels(pipe, options)
        data, empty, origin = train_data.encode(pipe, rows, mode.data, runs, pixels, weights)
        origin = f"{weights} {origin}"
    for other in (options.transformer, options.preset_lora):
        origin += "" if other is None else f" {weights_id(other)}"
    return data, empty, origin


def _painter(pipe, options, runs):
    """-> a function that paints the prompt and returns the number of the picture for the log

    Raises ValueError for a prompt or a size that cannot be painted.
    """
    from ..limits import LONGEST_PROMPT

    if pipe.form is not None:
        raise ValueError(
            "--sample must go with a text-to-image model, got one that is given pictures; paint "
            "with the adapter when it is trained"
        )
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
