"""`qwenimage train memory`: what every mode holds in memory, before it is started."""

import argparse
import dataclasses

from .console import UsageError
from .train_plan import TEXT_TOKENS, network_config

COLUMNS = {  # part of train/memory.py: head of its column
    "base": "base",
    "trained": "trained",
    "gradients": "gradients",
    "kept activations": "kept",
    "activations of a block": "block",
    "stored": "stored",
}
JUDGED = "dmd2 --real"
BYTES = {"bf16": 2, "fp32": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "GB that each mode of `qwenimage train` holds in one process when it holds the most, by "
        "formulas; nothing is loaded. The columns, for a resident base and --recompute: frozen "
        "weights; trained ones with moments and average; gradients; activations that are kept, and "
        "those of the block that runs; what is stored; all together. Then all together without "
        "--recompute, and with --stream. Pictures, text encoder and VAE are not included."
    )
    add = parser.add_argument
    weights = "whose sizes, a folder or a hub id in the local cache; default: the official model's"
    add("--weights", metavar="FOLDER", help=weights)
    pixels = "area of a picture; default 1048576"
    add("--max-pixels", type=int, default=1024 * 1024, metavar="N", help=pixels)
    add("--batch", type=int, metavar="N", help="as in each mode; default: each mode's own")
    add("--rank", type=int, metavar="N", help="of adapters; default: that of the modes")
    compute = (
        "type of a resident base: bf16, or fp32 as the command loads it on a CPU; default bf16"
    )
    add("--compute", choices=BYTES, default="bf16", help=compute)
    parser.set_defaults(run=run)


def run(options) -> None:
    """Raises ValueError, one line, for numbers that cannot be."""
    from ..train.lora import Adapter
    from ..train.memory import Sizes
    from .train_modes import MODES

    for name, least in (("max_pixels", 256), ("batch", 1), ("rank", 1)):
        value = getattr(options, name)
        if value is not None and not least <= value < 1e12:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} must be from {least} to 1e12, got {value}")
    rank = Adapter().rank if options.rank is None else options.rank
    tokens = options.max_pixels // 256
    sizes = Sizes(
        network_config(options.weights), tokens, TEXT_TOKENS, rank=rank,
        itemsize=BYTES[options.compute],
    )  # fmt: skip
    print(
        f"GB; a picture of {tokens} image and {TEXT_TOKENS} text tokens, rank {rank}, "
        f"{options.compute}; full in fp32, streamed in bf16"
    )
    heads = [*COLUMNS.values(), "together", "kept all", "streamed"]
    print(f"{'':14}" + "".join(f"{head:>10}" for head in heads))
    for mode in MODES.values():
        batch = mode.batch if options.batch is None else options.batch
        its = dataclasses.replace(sizes, batch=batch)
        print(_row(mode.name, mode.name, mode.kind(), its))
        if mode.name == "dmd2":
            print(_row(JUDGED, mode.name, mode.kind(adversarial=0.005), its))


def _row(label: str, mode: str, choices, sizes) -> str:
    from ..train.memory import memory_of

    parts = memory_of(mode, choices, sizes)
    kept = memory_of(mode, choices, dataclasses.replace(sizes, recompute=False))
    numbers = [*(parts[name] for name in COLUMNS), sum(parts.values()), sum(kept.values())]
    cells = [f"{number / 1e9:10.2f}" for number in numbers]
    if mode == "full":
        return f"{label:14}" + "".join([*cells, f"{'-':>10}"])
    streamed = memory_of(mode, choices, dataclasses.replace(sizes, streamed=True, itemsize=2))
    return f"{label:14}" + "".join([*cells, f"{sum(streamed.values()) / 1e9:10.2f}"])
