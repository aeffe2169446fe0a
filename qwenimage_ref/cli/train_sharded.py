"""`torchrun ... qwenimage train full|lora --shard`: one command in each of several processes."""

import dataclasses

from . import train_results
from .places import demand_folder
from .train_modes import ADAPTER
from .train_options import COMPUTE, check, choices_of, recipe_of


def run(mode, options) -> None:
    """Raises ValueError or OSError, one line, in one of the processes; the others end silently."""
    from ..train import prepared
    from ..train.dataset import weights_id
    from ..train.sharded.processes import started

    with started() as processes:
        with processes.together():
            recipe, choices, network, weights = _checked(mode, options, processes)
            data, empty, origin = prepared.read(options.prepared, mode.data)
            if options.transformer is not None:
                origin += f" {weights_id(options.transformer)}"
        _divide(network, weights, mode.whole, options, processes)
        train = _train_whole if mode.whole else _train_adapter
        train((network, data, empty, recipe, choices), origin, options, processes)


def _checked(mode, options, processes):
    """-> recipe, choices, the transformer on the meta device, and where its weights lie"""
    from ..checkpoint import locate
    from ..checkpoint.model_folder import empty_network
    from ..formats.single_file import open_weights
    from ..train.lora import Adapter
    from ..train.sharded.network import demand_plain
    from ..train.sharded.run import demand_divisible

    check(options, mode.whole, mode.result[1])
    recipe, choices = recipe_of(options), choices_of(options, mode.kind, mode.options)
    if not mode.whole:
        choices_of(options, Adapter, ADAPTER)
    try:
        demand_divisible(recipe, processes)
    except ValueError as error:  # the message begins with a field's name, which is the option's
        raise ValueError(f"--{error}") from None
    demand_folder("--runs", options.runs)
    folder = locate.resolve(options.weights)
    network = empty_network(folder, "transformer")
    weights = open_weights(options.transformer or folder / "transformer", network)
    demand_plain(weights, network)
    if weights.zero_cond_t is not None:  # the files decide, whatever config.json says
        network.config = dataclasses.replace(network.config, zero_cond_t=weights.zero_cond_t)
    return recipe, choices, network, weights


def _divide(network, weights, whole: bool, options, processes) -> None:
    """Turn the transformer on the meta device into this process' share of it."""
    import torch

    from ..train.recompute import recompute
    from ..train.sharded.network import divide, fill_share

    compute = getattr(torch, COMPUTE[options.compute])
    # what is trained is float32, because an update of 1e-5 is lost in 16 bits
    network.to(torch.float32 if whole else compute).requires_grad_(False)
    if options.recompute:
        recompute(network)
    divide(network, processes, compute, options.keep_gathered)
    network.to_empty(device=processes.device)
    with processes.together():
        fill_share(network, weights, processes)


def _train_whole(learned_from, origin: str, options, processes) -> None:
    from ..train.sharded.checkpoints import StepsFolder
    from ..train.sharded.network import export
    from ..train.sharded.run import train_whole

    network, runs = learned_from[0], StepsFolder(options.runs, processes)
    with runs.locked():
        train_whole(*learned_from, runs, origin).use_average()
        export(network, options.to, processes)
    if processes.leads:
        train_results.say_whole(network, options.to)


def _train_adapter(learned_from, origin: str, options, processes) -> None:
    from ..adapt import lora
    from ..train.sharded.checkpoints import LedFolder
    from ..train.sharded.run import train_adapter

    network, runs = learned_from[0], LedFolder(options.runs, processes)
    with runs.locked():
        train_adapter(*learned_from, runs, origin).use_average()
        with processes.together():
            if processes.leads:
                lora.save(network, options.to)
                train_results.say_adapter(network, options.to)
