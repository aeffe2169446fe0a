"""The parts of a pipeline from a folder, a hub id or single files."""

import functools
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from .adapt.streaming import stream
from .adapt.tiling import TiledVAE
from .checkpoint import locate
from .checkpoint.fill import Weights, fill
from .checkpoint.model_folder import (
    FOLDER,
    demand_all_layered,
    demand_one_model,
    demand_right_form,
    empty_networks,
    picture_form,
    read_model_index,
)
from .config import SchedulerConfig
from .formats.single_file import open_weights
from .tokenizer import Tokenizer
from .vae import VAE

if hasattr(os, "register_at_fork"):
    # careful: a forked child has none of its parent's threads and would wait for them forever
    os.register_at_fork(after_in_child=functools.partial(torch.set_num_threads, 1))


def load(folder_or_hub_id, dtype, device: torch.device, streamed: bool, files: dict) -> tuple:
    """-> tokenizer, text encoder, transformer, VAE, scheduler config, recommendations, and of a
    model that is given pictures its vision tower and in which form it is given them

    The arguments are those of `QwenImage.from_pretrained`; files: {part: single file or None}.
    """
    folder = locate.resolve(folder_or_hub_id)
    exact = device.type == "cpu" and not streamed
    dtype = dtype or (torch.float32 if exact else torch.bfloat16)
    if dtype == torch.float16:
        raise ValueError(
            "dtype float16: the image stream of the released weights reaches 200,000 and "
            "float16 ends at 65,504; use torch.bfloat16"
        )
    recommended, form = read_model_index(folder), picture_form(folder)
    networks = empty_networks(folder)
    tokenizer = Tokenizer.load(folder / "tokenizer")
    demand_one_model(folder, networks, tokenizer)
    scheduler = SchedulerConfig.from_json(folder / "scheduler" / "scheduler_config.json")
    demand_all_layered(folder, form, networks, scheduler)
    # all headers before the first tensor: a wrong file is refused before gigabytes are read
    homes = {part: FOLDER.get(part, part) for part in networks}
    sources = {part: files.get(home) or folder / home for part, home in homes.items()}
    opened = {part: open_weights(sources[part], network) for part, network in networks.items()}
    marked, stated = opened["transformer"].zero_cond_t, networks["transformer"].config.zero_cond_t
    demand_right_form(folder, form, stated if marked is None else marked)
    for part, network in networks.items():
        put_weights(network, opened[part], dtype, device, streamed)
        network.eval().requires_grad_(False)
    vae = TiledVAE(networks["vae"], always=False)
    parts = networks["text_encoder"], networks["transformer"], vae
    return tokenizer, *parts, scheduler, recommended, networks.get("vision"), form


def load_weights(
    network: nn.Module, source: str | Path, dtype=None, device="cpu", streamed=False, fast=False
) -> Weights:
    """Fill one network on the meta device from a folder or file of any layout -> what was loaded

    streamed: its blocks stay on disk. fast: multiply in fp8 where file and device allow it. Raises
    CheckpointError, one line; the network is then unchanged.
    """
    weights = open_weights(source, network, fast)
    put_weights(network, weights, dtype, device, streamed)
    return weights


def put_weights(network: nn.Module, weights: Weights, dtype, device, streamed: bool) -> None:
    if streamed and not isinstance(network, VAE):
        stream(network, weights, dtype, device)
    else:
        fill(network, weights, dtype, device)
    if weights.zero_cond_t is not None:  # the files decide, whatever config.json says
        network.config = replace(network.config, zero_cond_t=weights.zero_cond_t)
