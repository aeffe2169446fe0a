"""What a training has written, on disk and in one line on stdout."""

from pathlib import Path


def write(network, to: Path, whole: bool) -> None:
    """The trained adapter as a file, or the whole transformer as a folder"""
    from .. import checkpoint
    from ..adapt import lora

    if whole:
        checkpoint.save(network, to)
        network.config.to_json(to / "config.json")
        say_whole(network, to)
    else:
        lora.save(network, to)
        say_adapter(network, to)


def say_whole(network, to: Path) -> None:
    print(f"{to}: {sum(p.numel() for p in network.parameters()):,} weights")


def say_adapter(network, to: Path) -> None:
    from ..adapt import lora

    pairs = lora.adapters(network)[0].pairs
    rank = max(pair.rank for pair in pairs.values())
    print(f"{to}: {len(pairs)} layers, rank {rank}, {to.stat().st_size / 1e6:.1f} MB")
