"""`qwenimage paint --region` and `--context`: prompts for parts of a picture, and one to follow."""

import argparse
from pathlib import Path

from .console import UsageError

FORM = "PROMPT=MASK"
EXAMPLE = '--region "a red circle"=left.png'


def add_arguments(add) -> None:
    about = (
        "what is where the mask, a black picture of the target's size, is white; with a LoRA "
        "of EliGen; may be given several times"
    )
    add("--region", action="append", default=[], metavar=FORM, help=about)
    about = "the negative prompt, too, holds in each region, not only in the whole picture"
    add("--regions-on-negative", action="store_true", help=about)
    about = "edges, depth or a pose to follow; with the LoRA In-Context-Control-Union"
    add("--context", type=Path, metavar="FILE", help=about)


def wanted(options: argparse.Namespace) -> list[tuple[str, Path]]:
    """Prompt and mask of every --region, checked without opening a file. Raises UsageError."""
    if options.regions_on_negative and not options.region:
        raise UsageError(f"--regions-on-negative must go with regions; add {EXAMPLE}")
    if options.context is not None and not options.context.is_file():
        raise UsageError(f"{options.context} must be a picture's file, and there is none")
    return [region(text) for text in options.region]


def region(text: str) -> tuple[str, Path]:
    # the prompt may contain "=" itself, and so may the name of the file
    splits = [(text[:at], Path(text[at + 1 :])) for at, letter in enumerate(text) if letter == "="]
    for prompt, file in splits:
        if prompt.strip() and file.is_file():
            return prompt, file
    if not splits or not splits[-1][0].strip():
        raise UsageError(f"--region must be {FORM}, for example {EXAMPLE}, got {text}")
    raise UsageError(f"{splits[-1][1]} must be a mask's file, and there is none")


def conditions(regions: list[tuple[str, Path]], options: argparse.Namespace) -> dict:
    """-> the arguments of `QwenImage.__call__` that they make; none without them

    Raises ValueError, one line, for what is no mask or no picture.
    """
    from ..pictures import open_picture
    from ..tasks.regions import checked_regions

    arguments = {}
    if regions:
        pairs = [(prompt, open_picture(file)) for prompt, file in regions]
        arguments["regions"] = checked_regions(pairs, [options.prompt])
        arguments["regions_on_negative"] = options.regions_on_negative
    if options.context is not None:
        arguments["context_image"] = open_picture(options.context)
    return arguments
