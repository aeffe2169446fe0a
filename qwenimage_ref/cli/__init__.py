"""The `qwenimage` command. A wrong input is one line on stderr and exit status 2."""

import argparse
import math
import os
import sys
import tempfile
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


class UsageError(ValueError):
    """What was asked for cannot be done; the message says what can."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        hint = "put the prompt in quotes, or " if message.startswith("unrecognized") else ""
        raise UsageError(f"{message} ({hint}see {self.prog} --help)")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"note: {message}")
            return options.run(options) or 0
    # RuntimeError: torch says so when memory ends
    except (ValueError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        text = str(error) or "out of memory; use smaller sides"
        _say(" ".join(text.split()))
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 130


def _say(line: str) -> None:
    print(f"qwenimage: {line}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("qwenimage", description="Qwen-Image in readable PyTorch.", epilog=EXAMPLE)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    paint = commands.add_parser("paint", help="paint a picture from a prompt")
    paint.add_argument("prompt", help="what to paint, in quotes")
    paint.add_argument("-o", "--output", type=Path, default=Path("out.png"), help="file to write")
    posters_command.add_weights(paint)
    for part in ("transformer", "vae", "text-encoder"):
        about = "a single file in place of the folder's weights of this part"
        paint.add_argument(f"--{part}", type=Path, metavar="FILE", help=about)
    paint.add_argument("--negative", default=" ", metavar="TEXT", help='default " "')
    paint.add_argument("--cfg", type=float, default=4.0, help="guidance, 1 is none; default 4")
    paint.add_argument("--steps", type=int, help="default: what the weights recommend, else 50")
    paint.add_argument("--size", metavar="WxH", help="default: what the weights recommend")
    paint.add_argument("--seed", type=int, default=0, help="chooses the noise; default 0")
    paint.add_argument(
        "--stream", action="store_true", help="weights stay on disk, a block at a time; bf16"
    )
    paint.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[=SCALE]",
        help="an adapter of any dialect; may be given several times",
    )
    paint.add_argument(
        "--lora-partial",
        action="store_true",
        help="leave out what a LoRA has for other networks, and list it",
    )
    paint.add_argument(
        "--lightning",
        action="store_true",
        help="the schedule of few-step models: shift 3, no guidance, 4 steps unless --steps says",
    )
    paint.set_defaults(run=_paint)

    info = commands.add_parser("info", help="what a folder of weights holds, or a single file")
    info.add_argument("folder", nargs="?", default=posters_command.POCKET, metavar="FOLDER")
    info.set_defaults(run=_info)

    check = commands.add_parser("verify", help="is a folder of weights whole? status 1 if not")
    check.add_argument("folder", metavar="FOLDER", help="or a hub id in the local cache")
    check.add_argument("--hash", action="store_true", help="read every byte and compare sha256")
    check.set_defaults(run=_verify)

    forge = commands.add_parser(
        "forge", help="write a random checkpoint in the official layout", description=FORGE
    )
    forge.add_argument("folder", type=Path, metavar="FOLDER", help="outside the repository")
    forge.add_argument("--blocks", type=int, metavar="N", help="only the first N; default all 60")
    forge.set_defaults(run=_forge)

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


def _paint(options) -> None:
    # everything that can be wrong is looked at before the first second is spent
    if not options.prompt.strip():
        raise UsageError(f"the prompt is empty; say what to paint: {EXAMPLE}")
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
    print(f"{options.output}: {picture.width}x{picture.height}, seed {options.seed}")


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
        raise UsageError(f"--size {text} is not WIDTHxHEIGHT, for example 128x128") from None


def _format(path: Path) -> str:
    return {".jpg": "JPEG", ".jpeg": "JPEG"}.get(path.suffix.lower(), path.suffix[1:].upper())


def _check_output(path: Path) -> None:
    """Raises UsageError if a picture cannot be written there."""
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise UsageError(f"{path}: end the name in one of {', '.join(PICTURE_SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it, for example {path / 'out.png'}")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; make it first or choose another with -o")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to; choose another with -o")
    try:
        tempfile.TemporaryFile(dir=folder).close()  # some folders refuse whatever they promise
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written to ({error.strerror}); choose another"
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
    said = f"{written / 1e9:.1f} GB written" if written else "it was finished already"
    print(f"{options.folder}: {said}")


def _course(options) -> None:
    notebooks = ROOT / "notebooks"
    if not notebooks.is_dir():
        raise UsageError("the notebooks are in the repository, not in the package; clone it")
    os.execvp(sys.executable, [sys.executable, "-m", "jupyter", "lab", str(notebooks)])
