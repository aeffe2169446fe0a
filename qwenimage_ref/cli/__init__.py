"""The `qwenimage` command. A wrong input is one line on stderr and exit status 2."""

import argparse
import functools
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from ..extras import demand_extra
from ..repository import ROOT
from . import control_picture as control_picture_command
from . import data as data_command
from . import evaluate as evaluate_command
from . import export as export_command
from . import layers as layers_command
from . import paint as paint_command
from . import parity
from . import pocket as posters_command
from . import serve as serve_command
from . import train as train_command
from .console import UsageError, discard_output, reason, say

FORGE = (
    "Names, shapes, types, shards and headers are the official ones, so whatever reads the real "
    "weights can be tried. All of it is 57.7 GB. With --blocks N: 3.9 GB (what is not a layer, the "
    "vision tower and lm_head included), 0.68 GB for each block of the transformer and 0.47 GB for "
    "each of as many layers of the text tower, which has 28. Stopped at any moment, the same "
    "command goes on to the same bytes. The tokenizer is the official one where this machine has "
    "it, else the pocket model's."
)
HELP = ("-h", "--help")


class _Parser(argparse.ArgumentParser):
    fallback: str | None = None  # the command that is meant where an option comes first, or nothing

    late: Callable | None = None  # adds options whose defaults are slow to import

    def parse_known_args(self, args=None, namespace=None):
        late, self.late = self.late, None
        if late:
            late()
        if self.fallback and not [arg for arg in args[:1] if arg in HELP or arg[:1] != "-"]:
            args = [self.fallback, *args]
        return super().parse_known_args(args, namespace)

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
            warnings.showwarning = lambda message, *_: say(f"note: {message}")
            status = options.run(options) or 0
        if sys.stdout:
            sys.stdout.flush()  # nobody catches an error of the interpreter's own flush
        return status
    except BrokenPipeError:
        return discard_output()
    # torch reports the end of memory as a RuntimeError
    except (ValueError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        say(reason(error))
        return 2
    except KeyboardInterrupt:
        say("stopped")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "qwenimage", description="Qwen-Image in readable PyTorch.", epilog=paint_command.EXAMPLE
    )
    version = f"%(prog)s {__version__}"  # careful: argparse prints it and ends with status 0
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    paint_command.add_arguments(commands.add_parser("paint", help="paint a picture from a prompt"))
    apart = commands.add_parser("layers", help="take a picture apart into transparent layers")
    layers_command.add_arguments(apart)
    guide = commands.add_parser("control-picture", help="edges or depth, for `paint --control`")
    control_picture_command.add_arguments(guide)
    page = commands.add_parser("serve", help="a page in the browser that paints")
    serve_command.add_arguments(page)
    _add_files(commands)
    validate = commands.add_parser("validate", help="compare every stage with diffusers'")
    parity.add_arguments(validate)
    bench = commands.add_parser("bench", help="time and memory beside diffusers'")
    parity.add_bench_arguments(bench)
    train = commands.add_parser(
        "train", help="train the pocket model, a LoRA, or by preference or reward"
    )
    models = train.add_subparsers(metavar="MODE", required=True)
    pocket = models.add_parser("pocket", help="the pocket model; resumes where it was stopped")
    posters_command.add_train_arguments(pocket)
    train_command.add_modes(models)
    pipeline = commands.add_parser("data", help="filter and encode pictures, for `train` to stream")
    data_command.add_arguments(pipeline)
    score = commands.add_parser("eval", help="how good is the pocket model, or a VAE?")
    evaluate_command.add_arguments(score)
    course = commands.add_parser("course", help="open the notebooks in JupyterLab")
    course.set_defaults(run=_course)
    return parser


def _add_files(commands) -> None:
    info = commands.add_parser("info", help="what a folder of weights holds, or a single file")
    info.add_argument("folder", nargs="?", default=posters_command.POCKET, metavar="FOLDER")
    info.set_defaults(run=_info)

    check = commands.add_parser("verify", help="is a folder of weights whole? status 1 if not")
    check.add_argument("folder", metavar="FOLDER", help="or a hub id in the local cache")
    check.add_argument("--hash", action="store_true", help="read every byte and compare sha256")
    check.set_defaults(run=_verify)

    export = commands.add_parser("export", help="weights as single files for ComfyUI")
    export_command.add_arguments(export)

    about = "write a random checkpoint in the official layout"
    forge = commands.add_parser("forge", help=about, description=FORGE)
    forge.add_argument("folder", type=Path, metavar="FOLDER", help="outside the repository")
    forge.add_argument("--blocks", type=int, metavar="N", help="only the first N; default all 60")
    models = ("qwen-image", "edit", "edit-2509", "edit-2511", "layered")
    models += ("canny", "depth", "inpaint", "union", "inpainting")
    about = "whose configs are written; the last five are control networks; default qwen-image"
    forge.add_argument("--model", choices=models, default=models[0], help=about)
    forge.set_defaults(run=_forge)


def _info(options) -> None:
    from ..checkpoint import locate
    from ..checkpoint.model_folder import empty_networks, picture_form, read_model_index
    from ..conditions import LayeredForm
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
    form = picture_form(folder)
    if isinstance(form, LayeredForm):
        words = "" if recommended.get("reads_pictures", True) else " --prompt TEXT"
        print(f"  used with: qwenimage layers PICTURE{words} --weights FOLDER --to FOLDER")
    elif form is not None:
        print("  used with: qwenimage paint PROMPT --weights FOLDER --image FILE")


def _verify(options) -> int:
    from ..checkpoint.verify import verify

    report = verify(options.folder, options.hash)
    print(report)
    return 0 if report.ok else 1


def _forge(options) -> None:
    from tqdm import tqdm

    from ..adapt.control_forge import NETWORKS, forge_control
    from ..checkpoint import locate
    from ..checkpoint.forge import POCKET_TOKENIZER, first_blocks, forge

    if options.model in NETWORKS:
        mmdit = first_blocks(options.blocks).transformer
        write = functools.partial(forge_control, options.folder, options.model, mmdit)
    else:
        configs, tokenizer = first_blocks(options.blocks, options.model), locate.find("tokenizer")
        if tokenizer is None:
            say("note: the official tokenizer is not on this machine; it gets the pocket model's")
        write = functools.partial(forge, options.folder, configs, tokenizer or POCKET_TOKENIZER)
    with tqdm(desc="forging", unit="B", unit_scale=True, delay=0.1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        written = write(progress=show)
    result = f"{written / 1e9:.1f} GB written" if written else "it was finished already"
    print(f"{options.folder}: {result}")


def _course(options) -> None:
    notebooks = ROOT / "notebooks"
    if not notebooks.is_dir():
        raise UsageError("the notebooks must be in a clone of the repository; this is none")
    demand_extra("notebooks")
    os.execvp(sys.executable, [sys.executable, "-m", "jupyter", "lab", str(notebooks)])
