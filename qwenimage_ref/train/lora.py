"""Training a LoRA: flow matching on a few pictures, with nothing trained but the adapter.

The base may be of any type, resident or streamed: the adapter is float32, and what it adds is
computed in the base's type. Latents and text states were encoded before (pictures.py), so that
neither VAE nor text tower takes memory now.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt import lora
from .dataset import Encoded
from .flow import draw_sigma, flow_step, loss_weight
from .loop import Recipe, Run


@dataclass(frozen=True)
class Settings:
    """What a LoRA run does besides its recipe; the defaults are those of the public trainers."""

    rank: int = 16
    alpha: float = 16.0
    targets: str = "DiffSynth"  # a key of lora.TARGETS
    sigma: str = "qwen_shift"  # a key of flow.SIGMAS
    shift: float = 2.2  # of sigma "shift" alone
    weighting: str = "none"  # a key of flow.WEIGHTS
    dropout: float = 0.0  # share of the captions that are replaced by the empty one
    accumulate: int = 1  # batches whose gradients are summed into one step


def batches(sizes: list[tuple], count: int, number: int, recipe: Recipe) -> list[int]:
    """Which examples are trained on at batch `number`, counted on and on.

    In an epoch every example comes once. A batch holds examples of one size, `count` at most.
    """
    groups: dict[tuple, list[int]] = {}
    for i, size in enumerate(sizes):
        groups.setdefault(size, []).append(i)
    per_epoch = sum(-(-len(group) // count) for group in groups.values())
    rng, made = recipe.generator(number // per_epoch, "order"), []
    for group in groups.values():
        order = [group[i] for i in torch.randperm(len(group), generator=rng)]
        made += [order[start : start + count] for start in range(0, len(order), count)]
    return made[torch.randperm(len(made), generator=rng)[number % per_epoch]]


def padded(states: list[torch.Tensor]):
    """B text states, (T, Dt) each -> (B, T, Dt), (B, T): true where a token is real

    Of equal lengths, nothing is padded, and None stands in for the mask.
    """
    txt = nn.utils.rnn.pad_sequence(states, batch_first=True)
    lengths = torch.tensor([len(state) for state in states])
    mask = torch.arange(txt.shape[1]) < lengths.unsqueeze(1)
    return txt, None if mask.all() else mask


def train(
    mmdit: nn.Module,
    examples: list[Encoded],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Settings,
    folder: Path,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new adapter on the MMDiT to the recipe's end -> the finished run

    It goes on where the folder says that it was stopped, to the same bits. What is drawn at a step
    depends on seed and step alone.
    """
    adapter = lora.inject(
        mmdit, lora.TARGETS[settings.targets], settings.rank, settings.alpha, recipe.seed
    )
    origin = json.dumps([origin, asdict(settings), [tuple(e.latents.shape) for e in examples]])
    run = Run(adapter, recipe, folder, origin=origin)
    run.fit(
        loss_of(mmdit, examples, empty, recipe, settings), accumulate=settings.accumulate, **fit
    )
    return run


def loss_of(
    mmdit: nn.Module,
    examples: list[Encoded],
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Settings,
) -> Callable[[int], torch.Tensor]:
    """-> the loss of batch `number`, as Run.fit wants it"""
    sizes = [tuple(example.latents.shape) for example in examples]
    base = mmdit.proj_out.weight

    def loss_at(number: int) -> torch.Tensor:
        rng = recipe.generator(number)
        chosen = [examples[i] for i in batches(sizes, recipe.batch, number, recipe)]
        drop = torch.rand(len(chosen), generator=rng) < settings.dropout
        data = torch.stack([example.latents for example in chosen]).to(base)
        noise = torch.randn(data.shape, generator=rng).to(base)
        tokens = data.shape[2] * data.shape[3] // 4
        sigma = draw_sigma(settings.sigma, len(chosen), rng, tokens, settings.shift)
        states = [empty if drop[i] else example.txt for i, example in enumerate(chosen)]
        txt, mask = padded(states)
        mask = None if mask is None else mask.to(base.device)
        weight = loss_weight(settings.weighting, sigma).to(base.device)
        return flow_step(
            mmdit, data, noise, sigma.to(base.device), txt.to(base), mask, weight=weight
        )

    return loss_at
