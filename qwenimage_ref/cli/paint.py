"""`qwenimage paint`: all arguments are checked before anything heavy is imported."""

import argparse
import contextlib
import math
import os
from pathlib import Path

from .console import UsageError, say
from .pocket import add_weights, demand_number

EXAMPLE = 'qwenimage paint "a red circle left of a blue star on a white background" -o out.png'
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("prompt", help="what to paint, in quotes")
    add("-o", "--output", type=Path, default=Path("out.png"), help="file to write")
    add_weights(parser)
    for part in ("transformer", "vae", "text-encoder"):
        about = "a single file in place of the folder's weights of this part"
        add(f"--{part}", type=Path, metavar="FILE", help=about)
    add("--negative", default=" ", metavar="TEXT", help='default " "')
    add("--cfg", type=float, default=4.0, help="guidance, 1 is none; default 4")
    add("--steps", type=int, help="default: what the weights recommend, else 50")
    add("--size", metavar="WxH", help="default: what the weights recommend")
    add("--seed", type=int, default=0, help="chooses the noise, 0 to 2**64 - 1; default 0")
    about = "weights stay on disk, a block at a time; bf16"
    add("--stream", action="store_true", help=about)
    about = "an adapter of any dialect; may be given several times"
    add("--lora", action="append", default=[], metavar="FILE[=SCALE]", help=about)
    about = "leave out what a LoRA has for other networks, and list it"
    add("--lora-partial", action="store_true", help=about)
    about = "the schedule of few-step models: shift 3, no guidance, 4 steps unless --steps says"
    add("--lightning", action="store_true", help=about)
    parser.set_defaults(run=run)


def run(options) -> None:
    # checks of all arguments come before the imports, which take a second
    if not options.prompt.strip():
        raise UsageError(f"the prompt must say what to paint, got an empty one; try {EXAMPLE}")
    demand_number(options.cfg)
    width, height = size_of(options.size) if options.size else (None, None)
    _check_output(options.output)
    adapters = [_adapter(text) for text in options.lora]

    from tqdm import tqdm

    pipe = _load(options, adapters)
    steps, cfg = _schedule(pipe, options)
    with tqdm(total=steps, desc="painting", unit="step", delay=0.1) as bar:
        picture = pipe(
            options.prompt,
            negative_prompt=options.negative,
            true_cfg_scale=cfg,
            height=height,
            width=width,
            num_inference_steps=steps,
            seed=options.seed,
            callback=lambda *_: bar.update(),
        )[0]
    _write(picture, options.output, options.seed)


def _load(options, adapters: list[tuple[str, float]]):
    """-> the pipeline with its single files and LoRAs"""
    from ..adapt import lora
    from ..pipeline import QwenImage

    files = {part: getattr(options, part) for part in ("transformer", "vae", "text_encoder")}
    pipe = QwenImage.from_pretrained(options.weights, stream=options.stream, **files)
    for file, scale in adapters:
        say(f"note: {lora.load(pipe.transformer, file, scale, options.lora_partial)}")
    return pipe


def _schedule(pipe, options) -> tuple[int, float]:
    """-> steps and guidance; with --lightning the pipeline also takes that schedule"""
    from ..config import SchedulerConfig

    steps, cfg = options.steps, options.cfg
    if options.lightning:
        pipe.scheduler, cfg = SchedulerConfig.lightning(), 1.0
        steps = 4 if steps is None else steps
    return (pipe.recommended.get("num_inference_steps", 50) if steps is None else steps), cfg


def _write(picture, file: Path, seed: int) -> None:
    from ..files import whole_file

    with whole_file(file) as partial:
        picture.save(partial, format=_format(file))
    # a console that is closed or lacks a letter does not undo a picture that is on the disk
    with contextlib.suppress(OSError, ValueError):
        print(f"{file}: {picture.width}x{picture.height}, seed {seed}", flush=True)


def _adapter(text: str) -> tuple[str, float]:
    """FILE or FILE=SCALE -> file, scale; the name of a file may contain "=" itself."""
    if Path(text).exists():
        return text, 1.0
    file, _, scale = text.rpartition("=")
    try:
        number = float(scale) if file else 1.0
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(
            f"--lora must be FILE or FILE=SCALE with a finite scale, for example my=0.8, got {text}"
        )
    if not Path(file or text).exists():
        raise UsageError(f"--lora {file or text} does not exist")
    return file or text, number


def size_of(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise UsageError(f"--size must be WIDTHxHEIGHT, for example 128x128, got {text}") from None


def _format(path: Path) -> str:
    return {".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower(), path.suffix[1:].upper())


def _check_output(path: Path) -> None:
    """Raises UsageError if a picture cannot be written there."""
    from ..files import partial_file

    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"-o must end in one of {', '.join(PICTURE_SUFFIXES)}, got {path}")
    if os.path.isdir(path):
        raise UsageError(f"-o must be a file, got the folder {path}; try {path / 'out.png'}")
    if not os.path.isdir(path.parent):
        raise UsageError(
            f"-o must be in a folder that exists, got {path}; make {path.parent} first"
        )
    try:
        with partial_file(path) as partial:  # tried, because permissions alone do not say it
            partial.touch()
    except OSError as error:
        raise UsageError(
            f"-o must be writable ({error.strerror}), choose another than {path}"
        ) from None
