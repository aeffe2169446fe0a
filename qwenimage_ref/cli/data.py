"""`qwenimage data`: from pictures with captions to shards of latents that `train` streams."""

import argparse
from pathlib import Path

from ..repository import POCKET
from .console import UsageError, say
from .places import demand_folder

ABOUT = (
    "The data pipeline, three steps: pack pictures into shards, filter them, encode what stays; "
    "`qwenimage train lora|full --prepared FOLDER` then streams the shards. A step that is stopped "
    "or killed goes on where it was: shards are written whole or not at all."
)
PER_SHARD = 1000
SMALLEST = 16 * 16  # pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    steps = parser.add_subparsers(metavar="STEP", required=True)
    _add_pack(steps.add_parser("pack", help="pictures with captions into shards, as they are"))
    _add_filter(steps.add_parser("filter", help="which of them are worth training on"))
    _add_encode(steps.add_parser("encode", help="those, by VAE and text encoder"))


def _add_pack(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    data = "pictures with captions, as for `train lora`"
    add("--data", type=Path, required=True, metavar="FOLDER", help=data)
    add("--to", type=Path, required=True, metavar="FOLDER", help="a new folder for the shards")
    each = f"examples in a shard; default {PER_SHARD}"
    add("--per-shard", type=int, default=PER_SHARD, metavar="N", help=each)
    parser.set_defaults(run=pack)


def _add_filter(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    shards = "tar shards in webdataset's layout, KEY.png or another picture and KEY.txt"
    add("--shards", type=Path, required=True, metavar="FOLDER", help=shards)
    add("--to", type=Path, required=True, metavar="FOLDER", help="numbers and decisions")
    kinds = "any picture, or posters: flat designs of 96 to 176 pixels; default any"
    add("--limits", choices=("any", "posters"), default="any", help=kinds)
    agree = "does a caption fit? posters (the exact reader), or MODULE:FUNCTION of yours"
    add("--agreement", metavar="NAME", help=f"{agree}; default: not asked")
    balance = "no kind may be more than X times as frequent as the rarest; default: all stay"
    add("--balance", type=float, metavar="X", help=balance)
    add("--seed", type=int, default=0, help="of the balance; default 0")
    _add_workers(add)
    parser.set_defaults(run=filter_shards)


def _add_encode(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--shards", type=Path, required=True, metavar="FOLDER", help="what was filtered")
    decided = "what `qwenimage data filter` wrote"
    add("--decided", type=Path, required=True, metavar="FOLDER", help=decided)
    add("--to", type=Path, required=True, metavar="FOLDER", help="a new folder for the shards")
    base = "whose encoders, a folder or a hub id in the local cache; default data/pocket"
    add("--weights", default=POCKET, metavar="FOLDER", help=base)
    areas = (
        "area in pixels that pictures are shrunk to; may be given several times: a picture is "
        "encoded at each that it fills; default: what the weights recommend"
    )
    add("--max-pixels", type=int, action="append", default=[], metavar="N", help=areas)
    add("--stream", action="store_true", help="the encoders stay on disk, a block at a time; bf16")
    _add_workers(add)
    parser.set_defaults(run=encode)


def _add_workers(add) -> None:
    add("--workers", type=int, default=1, metavar="N", help="processes, a shard each; default 1")
    about = "by Ray Data: a cluster's ADDRESS, or a new one of --workers on this machine"
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=about)


def _workers(options):
    """What spreads the shards. Raises UsageError or MissingLibraryError."""
    from ..curation.workers import Local, RayData

    if options.workers < 1:
        raise UsageError(f"--workers must be at least 1, got {options.workers}")
    if options.ray is None:
        return Local(options.workers)
    return RayData(options.workers, options.ray or None)


def pack(options) -> None:
    """Raises ValueError or OSError, one line, for what cannot be packed."""
    from ..curation import steps

    if options.per_shard < 1:
        raise UsageError(f"--per-shard must be at least 1, got {options.per_shard}")
    demand_folder("--to", options.to)
    if options.to.is_dir() and any(options.to.iterdir()):
        raise UsageError(f"--to must be new or empty, got {options.to}; choose another")
    shards, examples, problems = steps.pack(options.data, options.to, options.per_shard)
    for problem in problems:
        say(f"note: left out, {problem}")
    print(f"{options.to}: {examples:,} examples in {shards:,} shards")


def filter_shards(options) -> None:
    """Raises ValueError or OSError, one line, for shards that cannot be filtered."""
    from ..curation import steps
    from ..curation.filters import LIMITS

    if options.balance is not None and not options.balance >= 1:
        raise UsageError(f"--balance must be at least 1, got {options.balance:g}")
    if options.agreement is not None:
        from ..posters.reward import reward_of

        reward_of(options.agreement, "--agreement")
    demand_folder("--to", options.to)
    summary = steps.filtered(
        options.shards, options.to, LIMITS[options.limits], options.agreement, options.balance,
        options.seed, _workers(options),
    )  # fmt: skip
    _print(summary, options.to)


def _print(summary: dict, to: Path) -> None:
    from ..curation.filters import STAGES, stage_of

    total = summary["examples"]
    print(f"{total:,} examples")
    removed = summary["removed"]
    for stage, name in STAGES.items():
        for why in (why for why in removed if stage_of(why) == stage):
            print(f"  stage {stage}, {name:44} {why:17} {removed[why]:9,} removed")
    print(f"{to}: {summary['kept']:,} stay")


def encode(options) -> None:
    """Raises ValueError or OSError, one line, for what cannot be encoded."""
    from ..checkpoint import locate
    from ..checkpoint.model_folder import read_model_index
    from ..curation import steps

    for area in options.max_pixels:
        if area < SMALLEST:
            raise UsageError(f"--max-pixels must be at least {SMALLEST}, got {area}")
    folder = locate.resolve(options.weights)
    demand_folder("--to", options.to)
    side = read_model_index(folder).get("sample_size", 1024)
    areas = tuple(sorted(set(options.max_pixels))) or (side * side,)
    count = steps.encode(
        options.shards, options.decided, options.to, folder, areas, options.stream,
        _workers(options),
    )  # fmt: skip
    print(f"{options.to}: {count:,} examples, for `qwenimage train lora --prepared {options.to}`")
