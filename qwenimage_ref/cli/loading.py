"""What the commands that paint have in common: which weights, and a bar while they run."""

import argparse
import contextlib
import math
from collections.abc import Callable
from pathlib import Path

from .console import UsageError, say
from .places import demand_file
from .pocket import add_weights

NO_BAR = 0.1  # seconds within which what is finished needs no bar
MOST_STRETCH = 0.05  # share by which a picture's proportions may change without a note


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_weights(parser)
    for part in ("transformer", "vae", "text-encoder"):
        about = "a single file in place of the folder's weights of this part"
        add(f"--{part}", type=Path, metavar="FILE", help=about)
    about = "weights stay on disk, a block at a time; bf16"
    add("--stream", action="store_true", help=about)
    about = "where to compute: cpu, the default, cuda, or cuda:1 of several"
    add("--device", default="cpu", help=about)
    about = "the VAE works in tiles of 256x256; by itself it does so where memory would not suffice"
    add("--vae-tiling", action="store_true", help=about)
    about = "an adapter of any dialect; may be given several times"
    add("--lora", action="append", default=[], metavar="FILE[=SCALE]", help=about)
    about = "leave out what a LoRA has for other networks, and list it"
    add("--lora-partial", action="store_true", help=about)


def parse(add_arguments: Callable, arguments: list[str]) -> argparse.Namespace:
    """The arguments of one command, without its name -> its options. Raises UsageError."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args(arguments)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def load(options, adapters: list[tuple[str, float]]):
    """-> the pipeline with its single files and LoRAs"""
    pipe = base(options)
    attach(pipe, adapters, options.lora_partial)
    return pipe


def base(options):
    """-> the pipeline with its single files"""
    from ..adapt.tiling import TiledVAE
    from ..pipeline import QwenImage

    files = {part: getattr(options, part) for part in ("transformer", "vae", "text_encoder")}
    where = {"device": checked_device(options.device), "stream": options.stream}
    pipe = QwenImage.from_pretrained(options.weights, **where, **files)
    if options.vae_tiling:
        pipe.vae = TiledVAE(pipe.vae)
    return pipe


def attach(pipe, adapters: list[tuple[str, float]], partial: bool) -> None:
    """Attach LoRAs, each a file and its scale, and say what each one is."""
    from ..adapt import lora

    for file, scale in adapters:
        say(f"note: {lora.load(pipe.transformer, file, scale, partial)}")


def detach(pipe) -> None:
    """Take all LoRAs off again; the weights are then as they were loaded."""
    from ..adapt import lora

    for adapter in list(lora.adapters(pipe.transformer)):
        adapter.remove()


def checked_device(name: str):
    """-> torch's device of that name. Raises UsageError where this machine has none."""
    import torch

    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise ValueError("others are not tried")
        torch.empty(0, device=device)
    except (RuntimeError, ValueError, AssertionError):
        raise UsageError(
            f"--device must be cpu, cuda or cuda:N of this machine, got {name}; try cpu"
        ) from None
    return device


def adapter(text: str) -> tuple[str, float]:
    """FILE or FILE=SCALE -> file, scale; the name of a file may contain "=" itself."""
    file, _, scale = text.rpartition("=")
    if not file or Path(text).exists():
        file, scale = text, "1"
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(
            f"--lora must be FILE or FILE=SCALE with a finite scale, for example my=0.8, got {text}"
        )
    if not Path(file).is_dir():  # peft writes an adapter as a folder
        demand_file("--lora", Path(file))
    return file, number


def note_stretch(source: tuple[int, int], target: tuple[int, int], remedy: str) -> None:
    """Say so where sides that the model can have change a picture's proportions, (W, H) each"""
    change = source[0] * target[1] / (source[1] * target[0])
    stretch = 1 - min(change, 1 / change)
    if stretch > MOST_STRETCH:
        say(
            "note: a picture of {}x{} is stretched by {:.0%} to {}x{}, the nearest size by the "
            "rule of these weights; {}".format(*source, stretch, *target, remedy)
        )


@contextlib.contextmanager
def progress(steps: int):
    """-> a callback of the pipeline that moves a bar of so many steps"""
    from tqdm import tqdm

    with tqdm(total=steps, desc="painting", unit="step", delay=NO_BAR) as bar:

        def advance(*_) -> None:
            bar.update()
            if bar.n == steps:  # what is said from here on has a line of its own
                bar.close()

        yield advance
