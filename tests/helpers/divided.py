"""The small MMDiT, read from its official folder and trained by several processes."""

from pathlib import Path

import torch

from qwenimage_ref.checkpoint import save
from qwenimage_ref.checkpoint.fill import open_official
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.train.lora import Flow, Settings
from qwenimage_ref.train.recipe import Recipe
from qwenimage_ref.train.recompute import recompute
from qwenimage_ref.train.sharded.checkpoints import LedFolder, StepsFolder
from qwenimage_ref.train.sharded.network import divide, export, fill_share, share_of
from qwenimage_ref.train.sharded.run import train_adapter, train_whole

from .few_examples import EMPTY, examples
from .nets import SMALL, model

RECIPE = Recipe(steps=10, batch=4, lr=1e-3, warmup=0, decay_from=1.0, ema=0.9)
COUNT = 6  # examples: the second batch of an epoch has two, which four processes cannot share


def written_model(folder: Path) -> Path:
    save(model(), folder)
    return folder


def divided(processes, weights: Path, compute=torch.float32, config=SMALL, keep=False) -> MMDiT:
    with torch.device("meta"):
        network = MMDiT(config)
    recompute(network)
    divide(network, processes, compute, keep)
    network.to_empty(device="cpu")
    fill_share(network, open_official(weights), processes)
    return network


def train(
    processes, weights: Path, runs: Path, whole=True, recipe=RECIPE, compute=None, keep=False, **fit
):
    """-> the share of the weights that this process holds; without `until`, runs/out is written"""
    network = divided(processes, weights, compute or torch.float32, keep=keep)
    learned_from = (network, examples(COUNT), EMPTY, recipe)
    if whole:
        run = train_whole(
            *learned_from, Flow(dropout=0.3), StepsFolder(runs, processes), quiet=True, **fit
        )
        if "until" not in fit:
            export(network, runs / "out", processes)
    else:
        settings = Settings(rank=2, targets="diffusers")
        run = train_adapter(*learned_from, settings, LedFolder(runs, processes), quiet=True, **fit)
    assert run.step == fit.get("until", recipe.steps)
    return share_of(network)
