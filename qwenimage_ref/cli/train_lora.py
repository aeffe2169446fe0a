"""`qwenimage train lora`: options, looked at before anything heavy is imported."""

import argparse
import sys
from pathlib import Path

from ..repository import POCKET

ABOUT = (
    "Pictures with captions: text files beside them (cat.png, cat.txt), or metadata.csv or "
    "metadata.jsonl with the columns image and prompt. Any sizes; they are shrunk and cut to "
    "multiples of 16. What they are encoded to is kept: neither VAE nor text tower is asked twice. "
    "Stop it at any moment, even by kill -9; the same command goes on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER", help="pictures with captions")
    add("--to", type=Path, default=Path("lora.safetensors"), metavar="FILE", help="to write")
    add("--weights", default=POCKET, metavar="FOLDER", help="the base; default data/pocket")
    add("--runs", type=Path, default=Path("runs/lora"), metavar="FOLDER", help="states and logs")
    add("--steps", type=int, default=200, help="default 200")
    add("--batch", type=int, default=1, help="pictures of one size at a time; default 1")
    add("--accumulate", type=int, default=1, metavar="N", help="batches a step; default 1")
    add("--lr", type=float, default=1e-4, help="largest learning rate; default 1e-4")
    add("--rank", type=int, default=16, help="default 16")
    add("--alpha", type=float, help="default: the rank, so that B A counts once")
    add("--targets", default="DiffSynth", help="diffusers, DiffSynth, Lightning or musubi")
    add("--sigma", default="qwen_shift", help="uniform, logit-normal, shift or qwen_shift")
    add("--shift", type=float, default=2.2, help="of --sigma shift; default 2.2")
    add("--weighting", default="none", help="of the loss: none, bell, sigma_sqrt or cosmap")
    add("--dropout", type=float, default=0.0, help="share of captions left out; default 0")
    add("--ema", type=float, default=0.0, help="average of the weights, 0.99 for one; default none")
    add("--max-pixels", type=int, metavar="N", help="default: the size the weights recommend")
    add("--seed", type=int, default=0, help="default 0")
    add("--skip-bad", action="store_true", help="leave out what cannot be used, and say so")
    add("--recompute", action="store_true", help="less memory, a third more time")
    add("--stream", action="store_true", help="the base stays on disk, a block at a time; bf16")
    add("--sample", metavar="PROMPT", help="painted on the way, into --runs")
    add("--sample-every", type=int, default=100, metavar="STEPS", help="default 100")
    parser.set_defaults(run=run)


def run(options) -> None:
    """Raises ValueError, one line, for whatever cannot be trained on or with."""
    for name in ("steps", "batch", "accumulate", "rank", "sample_every"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(options, name)}: at least 1")
    if not 0 <= options.dropout <= 1:
        raise ValueError(f"--dropout {options.dropout} is not a share, from 0 to 1")
    if not 0 <= options.ema < 1:
        raise ValueError(f"--ema {options.ema} is not from 0 to below 1")
    if options.to.suffix != ".safetensors" or not options.to.parent.is_dir():
        raise ValueError(f"--to {options.to}: name a .safetensors file in a folder that exists")

    from ..adapt import lora
    from ..train.dataset import read_folder
    from ..train.flow import SIGMAS, WEIGHTS

    for name, known in (("targets", lora.TARGETS), ("sigma", SIGMAS), ("weighting", WEIGHTS)):
        if getattr(options, name) not in known:
            raise ValueError(f"--{name} {getattr(options, name)}: there are {', '.join(known)}")
    examples, problems = read_folder(options.data, options.skip_bad)
    for problem in problems:
        print(f"qwenimage: note: left out, {problem}", file=sys.stderr)
    _train(options, examples)


def _train(options, examples) -> None:
    from ..adapt import lora
    from ..checkpoint import locate
    from ..pipeline import QwenImage
    from ..train.dataset import encode, weights_id
    from ..train.loop import Recipe
    from ..train.lora import Settings, train
    from ..train.recompute import recompute

    folder = locate.resolve(options.weights)
    pipe = QwenImage.from_pretrained(folder, stream=options.stream)
    side = pipe.recommended.get("sample_size", 1024)
    pixels = side * side if options.max_pixels is None else options.max_pixels
    weights = weights_id(folder)
    encoded, empty = encode(pipe, examples, options.runs / "encoded", pixels, weights)
    recipe = Recipe(
        steps=options.steps, batch=options.batch, lr=options.lr, warmup=10, decay_from=1.0,
        betas=(0.9, 0.999), ema=options.ema, seed=options.seed,
    )  # fmt: skip
    settings = Settings(
        rank=options.rank,
        alpha=options.rank if options.alpha is None else options.alpha,
        targets=options.targets,
        sigma=options.sigma,
        shift=options.shift,
        weighting=options.weighting,
        dropout=options.dropout,
        accumulate=options.accumulate,
    )
    if options.recompute or options.stream:
        recompute(pipe.transformer)
    origin = f"{weights} {pixels} " + " ".join(example.caption for example in examples)
    measure = _painter(pipe, options) if options.sample else None
    run = train(
        pipe.transformer, encoded, empty, recipe, settings, options.runs, origin,
        measure=measure, measure_every=options.sample_every,
    )  # fmt: skip
    run.use_average()
    lora.save(pipe.transformer, options.to)
    size = options.to.stat().st_size / 1e6
    print(f"{options.to}: {len(run.model.pairs)} layers, rank {options.rank}, {size:.1f} MB")


def _painter(pipe, options):
    """What is done on the way: a picture of the prompt, named by its step"""
    from ..files import whole_file

    def paint() -> dict:
        steps = pipe.recommended.get("num_inference_steps", 50)
        picture = pipe(options.sample, " ", num_inference_steps=steps, seed=options.seed)[0]
        folder = options.runs / "samples"
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("*.png"))) + 1
        with whole_file(folder / f"{number:03}.png") as partial:
            picture.save(partial, format="PNG")
        return {"sample": number}

    return paint
