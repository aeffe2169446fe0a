"""`qwenimage validate` and `bench`: options, checked before anything slow is imported."""

import argparse
from pathlib import Path

from ..extras import demand_extra
from ..repository import CHECKOUT, CLONE_HINT, MEASUREMENTS
from .places import demand_file, demand_output

ABOUT = (
    "Our networks and those of diffusers and transformers are built from the files a layer at a "
    "time and get the same inputs: 6 GB of memory are enough for the official model. Prints a "
    "table and writes a JSON file. Exit status 1: a stage is out of tolerance."
)
ABOUT_BENCH = (
    "Processor time of one thread, the median of five alternating runs; peak memory, each in a "
    "fresh process; and the difference of the results. Takes half an hour. Prints a table and "
    "writes a JSON file. Exit status 1: a target is missed."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT
    parser.add_argument("folder", metavar="FOLDER", help="or a hub id in the local cache")
    parser.add_argument(
        "--reference", metavar="FOLDER", help="weights of the reference; default: the same files"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="type to compute in. Default float32, in which errors of the arithmetic are visible; "
        "bfloat16 is the released type, whose rounding of 0.4 per cent hides them",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps; default cpu")
    parser.add_argument("--image", type=Path, metavar="FILE", help="default: a drawn poster")
    parser.add_argument("--caption", metavar="TEXT", help="what the image shows")
    parser.add_argument(
        "--picture", action="store_true", help="also paint one with both, in 8 steps"
    )
    parser.add_argument(
        "--official", action="store_true", help="also compare with published numbers"
    )
    parser.add_argument("--hash", action="store_true", help="read every byte and compare sha256")
    parser.add_argument(
        "--record",
        type=Path,
        default=Path("validate.json"),
        metavar="FILE",
        help="JSON to write; default validate.json",
    )
    parser.set_defaults(run=run)


def run(options) -> int:
    """Returns the exit status. Raises ValueError if something cannot be validated."""
    _demand_clone("validate")
    demand_extra("parity")
    if (options.image is None) != (options.caption is None):
        raise ValueError(
            "--image and --caption must be given together: a picture, and what it shows"
        )
    file = options.record
    demand_output("--record", file, "validate.json")
    if options.image:
        demand_file("--image", options.image)

    import torch

    from ..checkpoint import locate
    from ..parity.validate.run import run as validate
    from ..pictures import open_picture

    try:
        torch.zeros(1, device=options.device)
    except (RuntimeError, AssertionError):  # AssertionError: a torch without CUDA
        raise ValueError(
            f"--device must be available here, got {options.device}; try cpu"
        ) from None
    example = (open_picture(options.image), options.caption) if options.image else None
    ok = validate(
        locate.resolve(options.folder),
        file,
        reference=locate.resolve(options.reference) if options.reference else None,
        dtype=options.dtype,
        device=options.device,
        example=example,
        hash=options.hash,
        official=options.official,
        picture=options.picture,
    )
    return 0 if ok else 1


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = ABOUT_BENCH
    parser.add_argument(
        "--quick", action="store_true", help="tiny networks, one run each, to see that it works"
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="JSON to write; default data/measurements/bench.json, with --quick none",
    )
    only = "measure these parts alone and leave the others' rows in the file as they are"
    parser.add_argument("--only", nargs="+", default=(), metavar="PART", help=only)
    parser.set_defaults(run=run_bench)


def run_bench(options) -> int:
    """Returns the exit status. Raises ValueError if nothing can be measured or written."""
    _demand_clone("bench")
    demand_extra("parity")
    file = options.record or (None if options.quick else MEASUREMENTS / "bench.json")
    if file:
        demand_output("--record", file, "bench.json")

    from ..parity.bench.parts import FULL, QUICK
    from ..parity.bench.run import bench, record

    rows = bench(QUICK if options.quick else FULL, options.only)
    if options.quick:
        print("tiny networks: only a run without --quick measures speed")
    if file:
        record(rows, file, add=bool(options.only))
    return int(any(row.missed for row in rows))


def _demand_clone(command: str) -> None:
    if not CHECKOUT:
        raise ValueError(f"{command}: {CLONE_HINT}")
