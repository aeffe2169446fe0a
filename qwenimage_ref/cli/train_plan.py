"""`qwenimage train plan N`: what training over N processes takes, before a machine is rented."""

import argparse

from .console import UsageError

TEXT_TOKENS = 256  # a long caption
RATE = 400.0  # TFLOP/s: 40 % of the 989 on an H100's data sheet, which large matrices reach
LEAST = {"max_pixels": 256, "tflops": 0.001, "link": 0.001}  # one core reaches 0.1 TFLOP/s
LINK = 50.0  # GB/s: one network adapter of 400 Gbit/s a GPU; NVLink is nine times as fast


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Bytes in each process and seconds of a step of `train full --shard`, or of `train lora "
        "--shard` with --rank, by formulas; nothing is loaded. The two rates are assumptions until "
        "you measure them: `python -m qwenimage_ref.parity.bench.sharded block` measures a block."
    )
    add = parser.add_argument
    add("processes", type=int, metavar="N", help="processes, one a GPU")
    weights = "whose sizes, a folder or a hub id in the local cache; default: the official model's"
    add("--weights", metavar="FOLDER", help=weights)
    add("--batch", type=int, metavar="N", help="pictures a step, of all processes; default N")
    pixels = "area of a picture; default 1048576"
    add("--max-pixels", type=int, default=1024 * 1024, metavar="N", help=pixels)
    rank = "of a LoRA on the layers that DiffSynth adapts; default: every weight is trained"
    add("--rank", type=int, metavar="N", help=rank)
    add("--keep", action="store_true", help="without --recompute: activations are kept")
    add("--keep-gathered", action="store_true", help="with train's --keep-gathered")
    rate = f"operations that a block reaches; default {RATE:g}, an H100 at 40 %% of its data sheet"
    add("--tflops", type=float, default=RATE, metavar="X", help=rate)
    link = f"GB/s between processes; default {LINK:g}, a network adapter of 400 Gbit/s a GPU"
    add("--link", type=float, default=LINK, metavar="X", help=link)
    parser.set_defaults(run=run)


def run(options) -> None:
    """Raises ValueError, one line, for numbers that cannot be."""
    from ..train.memory import adapter_parameters
    from ..train.sharded.plan import Plan

    batch = options.processes if options.batch is None else options.batch
    for name in ("processes", "batch", "max_pixels", "rank", "tflops", "link"):
        value = batch if name == "batch" else getattr(options, name)
        least = LEAST.get(name, 1)
        if value is not None and not least <= value < 1e12:
            flag = name if name == "processes" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} must be from {least} to 1e12, got {value}")
    config = network_config(options.weights)
    tokens = options.max_pixels // 256
    adapter = 0 if options.rank is None else adapter_parameters(config, options.rank)
    plan = Plan(
        config, options.processes, batch, tokens, TEXT_TOKENS, adapter, not options.keep,
        keep_gathered=options.keep_gathered,
    )  # fmt: skip
    _print(plan, options)


def _print(plan, options) -> None:
    what = f"a LoRA of rank {options.rank}" if plan.adapter else "every weight"
    how = "recomputed" if plan.recompute else "kept"
    print(
        f"{what} of {plan.parameters[0]:,}, {plan.processes} processes, {plan.batch} pictures a "
        f"step of {plan.image_tokens} image and {plan.text_tokens} text tokens, bf16, {how}"
    )
    parts = plan.memory()
    for name, size in (parts | {"together, in each process": sum(parts.values())}).items():
        print(f"  {name:50} {size / 1e9:8.1f} GB")
    seconds = plan.seconds(options.tflops * 1e12, options.link * 1e9)
    computing, sending = plan.operations() / 1e12, plan.traffic() / 1e9
    print(f"  {f'computing, at {options.tflops:g} TFLOP/s':50} {computing / options.tflops:8.1f} s")
    print(f"  {f'receiving {sending:.0f} GB, at {options.link:g} GB/s':50} "
          f"{sending / options.link:8.1f} s")  # fmt: skip
    print(f"  {'a step, where both go on at once':50} {seconds:8.1f} s")
    print(f"  {'pictures a second':50} {plan.batch / seconds:8.1f}")


def network_config(weights: str | None):
    """Of the transformer in a folder or in the local cache; None: the official one"""
    from ..checkpoint import locate
    from ..config import MMDiTConfig

    if weights is None:
        return MMDiTConfig.official()
    return MMDiTConfig.from_json(locate.resolve(weights) / "transformer" / "config.json")
