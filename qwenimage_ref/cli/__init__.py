"""The `qwenimage` command. A wrong input is one line on stderr and exit status 2."""

import argparse
import contextlib
import io
import math
import os
import sys
import warnings
from pathlib import Path

from ..repository import ROOT
from . import parity
from . import pocket as posters_command
from . import train_lora as train_command

EXAMPLE = 'qwenimage paint "a red circle left of a blue star on a white background" -o out.png'
FORGE = (
    "Names, shapes, types, shards and headers are the official ones, so whatever reads the real "
    "weights can be tried. All of it is 57.7 GB. With --blocks N: 3.9 GB (what is not a layer, the "
    "vision tower and lm_head included), 0.68 GB for each block of the transformer and 0.47 GB for "
    "each of as many layers of the text tower, which has 28. Stopped at any moment, the same "
    "command goes on to the same bytes. The tokenizer is the official one where this machine has "
    "it, else the pocket model's."
)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LONGEST_LINE = 1_000  # characters of an error


class UsageError(ValueError):
    """Arguments that cannot be followed; the message says which can."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        hint = "put the prompt in quotes, or " if message.startswith("unrecognized") else ""
        raise UsageError(f"{message} ({hint}see {self.prog} --help)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    # a console without the letters of a file name shows their numbers instead of ending the command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"note: {message}")
            return options.run(options) or 0
    # torch reports the end of memory as a RuntimeError
    except (ValueError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        _say(str(error) or "out of memory; use smaller sides")
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 130


def _say(text: str) -> None:
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."
    print(f"qwenimage: {line}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("qwenimage", description="Qwen-Image in readable PyTorch.", epilog=EXAMPLE)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_paint(commands)
    _add_files(commands)
    validate = commands.add_parser("validate", help="compare every stage with diffusers'")
    parity.add_arguments(validate)
    bench = commands.add_parser("bench", help="time and memory beside diffusers'")
    parity.add_bench_arguments(bench)
    train = commands.add_parser("train", help="train the pocket model, or a LoRA")
    models = train.add_subparsers(metavar="MODEL", required=True)
    pocket = models.add_parser("pocket", help="the pocket model; resumes where it was stopped")
    posters_command.add_train_arguments(pocket)
    small = models.add_parser("lora", help="a LoRA on pictures of yours; resumes likewise")
    train_command.add_arguments(small)
    score = commands.add_parser("eval", help="paint held-out captions and read them back")
    posters_command.add_eval_arguments(score)
    course = commands.add_parser("course", help="open the notebooks in JupyterLab")
    course.set_defaults(run=_course)
    return parser


def _add_paint(commands) -> None:
    paint = commands.add_parser("paint", help="paint a picture from a prompt")
    add = paint.add_argument
    add("prompt", help="what to paint, in quotes")
    add("-o", "--output", type=Path, default=Path("out.png"), help="file to write")
    posters_command.add_weights(paint)
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
    paint.set_defaults(run=_paint)


def _add_files(commands) -> None:
    info = commands.add_parser("info", help="what a folder of weights holds, or a single file")
    info.add_argument("folder", nargs="?", default=posters_command.POCKET, metavar="FOLDER")
    info.set_defaults(run=_info)

    check = commands.add_parser("verify", help="is a folder of weights whole? status 1 if not")
    check.add_argument("folder", metavar="FOLDER", help="or a hub id in the local cache")
    check.add_argument("--hash", action="store_true", help="read every byte and compare sha256")
    check.set_defaults(run=_verify)

    about = "write a random checkpoint in the official layout"
    forge = commands.add_parser("forge", help=about, description=FORGE)
    forge.add_argument("folder", type=Path, metavar="FOLDER", help="outside the repository")
    forge.add_argument("--blocks", type=int, metavar="N", help="only the first N; default all 60")
    forge.set_defaults(run=_forge)


def _paint(options) -> None:
    # checks of all arguments come before the imports, which take a second
    if not options.prompt.strip():
        raise UsageError(f"the prompt must say what to paint, got an empty one; try {EXAMPLE}")
    posters_command.demand_number(options.cfg)
    width, height = _size(options.size) if options.size else (None, None)
    _check_output(options.output)
    adapters = [_adapter(text) for text in options.lora]

    from tqdm import tqdm

    from ..adapt import lora
    from ..config import SchedulerConfig
    from ..files import whole_file
    from ..pipeline import QwenImage

    files = {part: getattr(options, part) for part in ("transformer", "vae", "text_encoder")}
    pipe = QwenImage.from_pretrained(options.weights, stream=options.stream, **files)
    for file, scale in adapters:
        _say(f"note: {lora.load(pipe.transformer, file, scale, options.lora_partial)}")
    steps, cfg = options.steps, options.cfg
    if options.lightning:
        pipe.scheduler, cfg = SchedulerConfig.lightning(), 1.0
        steps = 4 if steps is None else steps
    steps = pipe.recommended.get("num_inference_steps", 50) if steps is None else steps
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
    with whole_file(options.output) as partial:
        picture.save(partial, format=_format(options.output))
    _print_saved(f"{options.output}: {picture.width}x{picture.height}, seed {options.seed}")


def _print_saved(line: str) -> None:
    """A console that is closed or lacks a letter does not undo a picture that is on the disk."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


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


def _size(text: str) -> tuple[int, int]:
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


def _info(options) -> None:
    from ..checkpoint import locate
    from ..checkpoint.model_folder import empty_networks, read_model_index
    from ..formats.recognise import describe
    from ..tokenizer import Tokenizer

    if Path(options.folder).is_file():
        print(describe(options.folder))
        return
    folder = locate.resolve(options.folder)
    recommended = read_model_index(folder)
    print(f"{folder}")
    for name, module in empty_networks(folder).items():
        parameters = sum(p.numel() for p in module.parameters())
        print(f"  {name:13} {parameters:>14,} parameters in use")
    print(f"  {'tokenizer':13} {len(Tokenizer.load(folder / 'tokenizer')):>14,} ids")
    for key, value in recommended.items():
        print(f"  {key}: {value}")


def _verify(options) -> int:
    from ..checkpoint.verify import verify

    report = verify(options.folder, options.hash)
    print(report)
    return 0 if report.ok else 1


def _forge(options) -> None:
    from tqdm import tqdm

    from ..checkpoint import locate
    from ..checkpoint.forge import POCKET_TOKENIZER, first_blocks, forge

    configs = first_blocks(options.blocks)
    tokenizer = locate.find("tokenizer")
    if tokenizer is None:
        _say("note: the official tokenizer is not on this machine; it gets the pocket model's")
    with tqdm(desc="forging", unit="B", unit_scale=True, delay=0.1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        written = forge(options.folder, configs, tokenizer or POCKET_TOKENIZER, progress=show)
    result = f"{written / 1e9:.1f} GB written" if written else "it was finished already"
    print(f"{options.folder}: {result}")


def _course(options) -> None:
    notebooks = ROOT / "notebooks"
    if not notebooks.is_dir():
        raise UsageError("the notebooks must be in a clone of the repository; this is none")
    os.execvp(sys.executable, [sys.executable, "-m", "jupyter", "lab", str(notebooks)])
