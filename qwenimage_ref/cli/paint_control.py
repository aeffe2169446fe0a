"""`qwenimage paint --control`: pictures that say what is where, and the networks that read them."""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

from .console import UsageError
from .places import demand_file

FORM = "NET=PICTURE[@SCALE[,START[,END]]]"
EXAMPLE = "canny=edges.png@0.8,0,0.6"


class Wanted(NamedTuple):
    """One --control, as it was asked for."""

    net: str  # a file, a folder, a hub id, or a name such as canny
    file: Path  # the picture
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0


def add_arguments(add) -> None:
    about = (
        "a picture of edges, depth or poses, and the control network that reads it: a file, a "
        "folder, or canny, depth, inpaint, union, inpainting from the local hub cache; inpainting "
        "networks also take --mask; may be given several times; `qwenimage control-picture` draws "
        "edges"
    )
    add("--control", action="append", default=[], metavar=FORM, help=about)


def wanted(options: argparse.Namespace) -> list[Wanted]:
    """Every --control, checked without opening a file. Raises UsageError."""
    return [control(text) for text in options.control]


def control(text: str) -> Wanted:
    net, equals, rest = text.partition("=")
    file, numbers = rest, []
    if "@" in rest and not Path(rest).is_file():  # the name of a file may contain "@" itself
        file, _, tail = rest.rpartition("@")
        numbers = [_number(part) for part in tail.split(",")]
    _, _, scale, start, end = Wanted(net, Path(file), *numbers[:3])
    window = 0 <= start < end <= 1
    if not (net and equals and file and len(numbers) <= 3 and math.isfinite(scale) and window):
        raise UsageError(
            f"--control must be {FORM} with a finite SCALE and 0 <= START < END <= 1, for example "
            f"{EXAMPLE}, got {text}"
        )
    demand_file("--control", Path(file))
    return Wanted(net, Path(file), scale, start, end)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def pictures(controls: list[Wanted]) -> list:
    """The pictures, each in RGB; networks are recognised by their headers on the way

    Raises ValueError, one line, for what is no picture or no control network.
    """
    from ..adapt.control_files import recognise
    from ..pictures import input_picture, open_picture

    for control in controls:
        recognise(control.net)
    return [input_picture(open_picture(each.file), str(each.file)) for each in controls]


def controlled(pipe, controls: list[Wanted], read: list, options):
    """-> a pipeline that follows the pictures `read`; without controls the same pipeline"""
    if not controls:
        return pipe
    from ..adapt.control_files import load
    from ..controlled import ControlledQwenImage
    from ..pictures import open_picture
    from ..tasks.control import Control, reads_mask

    nets = {}
    for net in dict.fromkeys(control.net for control in controls):
        nets[net] = load(net, pipe.transformer, pipe.dtype, pipe.device, options.stream)
    mask = options.mask and open_picture(options.mask)
    if mask and not options.image and not any(map(reads_mask, nets.values())):
        raise UsageError("--mask must go with --image, or with a control network for inpainting")
    return ControlledQwenImage(
        pipe,
        [
            Control(nets[net], picture, *numbers, mask if reads_mask(nets[net]) else None)
            for (net, _, *numbers), picture in zip(controls, read)
        ],
    )
