"""`qwenimage control-picture`: what `paint --control` is given, from a photograph or layers."""

import argparse
from pathlib import Path

from .console import UsageError
from .paint import check_output, format_of
from .places import demand_file

ABOUT = (
    "Writes what `paint --control` takes. canny: thin white lines. soft: soft edges. depth: of "
    "transparent layers, the lowest first, lighter where they lie higher; `qwenimage layers` makes "
    "some of a picture. A depth map or a pose of another program is taken as it is."
)
KINDS = ("canny", "soft", "depth")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    add = parser.add_argument
    add("kind", choices=KINDS, help="what is drawn")
    add("pictures", nargs="+", type=Path, metavar="PICTURE", help="one; for depth the layers")
    add("-o", dest="output", type=Path, metavar="FILE", help="default KIND.png")
    add("--sigma", type=float, metavar="X", help="blur before edges are found; default 1.4 pixels")
    about = "of canny: lines begin above HIGH and go on above LOW, from 0 to 1; default 0.1,0.2"
    add("--thresholds", metavar="LOW,HIGH", help=about)
    parser.set_defaults(run=run)


def run(options) -> None:
    """Raises ValueError or OSError, one line, for what cannot be drawn."""
    output = options.output or Path(f"{options.kind}.png")
    check_output(output)
    for file in options.pictures:
        demand_file("PICTURE", file)
    if options.kind != "depth" and len(options.pictures) > 1:
        raise UsageError(f"{options.kind} must get a single PICTURE, got {len(options.pictures)}")
    if options.sigma is not None and options.kind == "depth":
        raise UsageError("--sigma must go with canny or soft; leave it out")
    if options.thresholds is not None and options.kind != "canny":
        raise UsageError("--thresholds must go with canny; leave it out")
    thresholds = _numbers(options.thresholds)

    from ..files import whole_file
    from ..pictures import open_picture
    from ..tasks.control_pictures import SIGMA, canny, depth_order, soft_edges

    sigma = SIGMA if options.sigma is None else options.sigma
    pictures = [open_picture(file, alpha=options.kind == "depth") for file in options.pictures]
    draw = {
        "canny": lambda: canny(*pictures, sigma, *thresholds),
        "soft": lambda: soft_edges(*pictures, sigma),
        "depth": lambda: depth_order(pictures),
    }
    picture = draw[options.kind]()
    with whole_file(output) as partial:
        picture.save(partial, format=format_of(output))
    print(f"{output}: {picture.width}x{picture.height}, {options.kind}")


def _numbers(text: str | None) -> list[tuple[float, float]]:
    """-> the two thresholds, if any. Raises UsageError."""
    if text is None:
        return []
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise UsageError(
            f"--thresholds must be LOW,HIGH, for example 0.1,0.2, got {text}"
        ) from None
    return [(low, high)]
