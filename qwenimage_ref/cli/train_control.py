"""`qwenimage train control`: where its network comes from, and the file that it becomes."""

from pathlib import Path


def train(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    """A new network, or the one of --from -> the finished run, as every mode's `train`"""
    from ..checkpoint.save import save_single
    from ..train.control import has_masks, new_network
    from ..train.control import train as fit_network

    pictures = [example.control for example in data]
    if options.from_network is not None:
        network = _network_from(options.from_network, pipe)
    else:
        network = new_network(pipe.transformer, recipe.seed, has_masks(data, pictures))
        save_single(network, folder.path / "zero.safetensors", pipe.dtype)
    settings = recipe, choices, folder, origin, network
    return fit_network(pipe.transformer, data, pictures, empty, *settings, **fit)


def _network_from(source: str, pipe):
    import torch

    from ..adapt.control_files import BLOCKWISE, load, recognise

    path, kind, _ = recognise(source)
    if kind != BLOCKWISE:
        raise ValueError(f"--from must name a blockwise control network, got {kind} in {path}")
    # careful: float32, because an update of 1e-5 is lost in 16 bits
    return load(source, pipe.transformer, torch.float32, pipe.device)


def write(network, to: Path, dtype) -> None:
    """A trained network as a file; one line on stdout."""
    from ..checkpoint.save import save_single

    save_single(network, to, dtype)
    blocks = len(network.controlnet_blocks)
    print(f"{to}: {blocks} blocks, {to.stat().st_size / 1e6:.1f} MB")
