"""Training a LoRA: flow matching on a few pictures, with nothing trained but the adapter.

The base may be of any type, resident or streamed: the adapter is float32, and its share of each
output is computed in the base's type. Latents and text states are encoded beforehand (dataset.py),
so that training needs neither the VAE nor the text encoder.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from ..adapt import lora
from .branches import conditioned, demand_no_dropout
from .dataset import Encoded
from .flow import SIGMAS, WEIGHTS, draw_sigma, flow_step, loss_weight
from .loop import Recipe, Run
from .run_folder import RunFolder
from .state import digest_of
from .streamed import ShardBatches, Streamed

Examples = list[Encoded] | Streamed


class Choices:
    """Base of the frozen dataclasses in which an objective's choices lie; each checks its own.

    All raise ValueError, one line that begins with the field's name, for impossible choices.
    """

    def __post_init__(self):
        pass


@dataclass(frozen=True)
class Adapter(Choices):
    """What every objective that trains a LoRA chooses; the defaults are the public trainers'."""

    rank: int = 16
    alpha: float = 16.0
    targets: str = "DiffSynth"  # a key of lora.TARGETS

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("rank",), lambda value: value >= 1, "at least 1")
        demand(self, ("alpha",), lambda value: 0 < value < math.inf, "above 0 and finite")
        demand_known(self, {"targets": lora.TARGETS})


@dataclass(frozen=True)
class Flow(Choices):
    """What flow matching chooses, whether an adapter or every weight is trained."""

    sigma: str = "qwen_shift"  # a key of flow.SIGMAS
    shift: float = 2.2  # used by sigma "shift" only
    weighting: str = "none"  # a key of flow.WEIGHTS
    dropout: float = 0.0  # share of the captions that are replaced by the empty one
    accumulate: int = 1  # batches whose gradients are averaged into one step

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("accumulate",), lambda value: value >= 1, "at least 1")
        demand(self, ("shift",), lambda value: 0 < value < math.inf, "above 0 and finite")
        demand(self, ("dropout",), lambda value: 0 <= value <= 1, "a share from 0 to 1")
        demand_known(self, {"sigma": SIGMAS, "weighting": WEIGHTS})


@dataclass(frozen=True)
class Settings(Flow, Adapter):
    """A LoRA run's choices besides its recipe."""


def demand(settings, names, valid: Callable, rule: str) -> None:
    """Raises ValueError, "name must be rule, got ...", for a value that is not valid."""
    for name in names:
        if not valid(getattr(settings, name)):
            raise ValueError(f"{name} must be {rule}, got {getattr(settings, name)}")


def demand_known(settings, choices: dict) -> None:
    """Raises ValueError for a value that is none of its choices: {name: them}."""
    for name, known in choices.items():
        demand(settings, (name,), known.__contains__, f"one of {', '.join(known)}")


class Batches:
    """Which examples each batch holds. In an epoch every example comes once.

    A batch holds examples of one size, `count` at most. Examples are grouped once and shuffled once
    an epoch, so that the work for a batch does not grow with their number.
    """

    def __init__(self, sizes: list[tuple], count: int, recipe: Recipe):
        self.count, self.recipe = count, recipe
        self.groups: dict[tuple, list[int]] = {}
        for i, size in enumerate(sizes):
            self.groups.setdefault(size, []).append(i)
        self.per_epoch = sum(-(-len(group) // count) for group in self.groups.values())
        self._epoch, self._shuffled = None, []

    def __getitem__(self, number: int) -> list[int]:
        """Number of a batch, counted on from epoch to epoch -> its examples"""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._shuffled = epoch, self._shuffle(epoch)
        return self._shuffled[place]

    def _shuffle(self, epoch: int) -> list[list[int]]:
        rng, batches = self.recipe.generator(epoch, "order"), []
        for group in self.groups.values():
            order = [group[i] for i in torch.randperm(len(group), generator=rng).tolist()]
            batches += [order[i : i + self.count] for i in range(0, len(order), self.count)]
        return [batches[i] for i in torch.randperm(len(batches), generator=rng).tolist()]


def batches_of(examples: Examples, recipe: Recipe, settings: Flow) -> Batches | ShardBatches:
    """Which examples each batch holds; streamed ones come shard by shard

    Raises ValueError for dropout where an example has regions.
    """
    if isinstance(examples, Streamed):
        return examples.batches(recipe.batch, recipe)
    demand_no_dropout(any(example.lengths for example in examples), settings.dropout)
    return Batches([example.group for example in examples], recipe.batch, recipe)


def origin_of(examples: Examples | list, origin: str, *more) -> str:
    """What a run on the examples depends on, as a text: the origin, and a digest of all of them

    examples: of any objective. Of streamed ones the checksums in their index are taken, so that
    none is read. more: what else the run learns from.
    """
    if isinstance(examples, Streamed):
        return json.dumps([origin, examples.window, digest_of(examples.shards, *more)])
    return json.dumps([origin, digest_of(examples, *more)])


@dataclass(frozen=True)
class Share:
    """The part of each batch that is this process'. Everything is drawn for the whole batch."""

    rank: int = 0
    size: int = 1  # processes

    def rows(self, count: int) -> list[int]:
        """Places in a batch of `count`; where none is left, the first, which then counts 0 times"""
        return list(range(self.rank, count, self.size)) or [0]

    def weight(self, count: int) -> float:
        """What the mean over its rows counts, so that the processes' mean is the batch's"""
        return len(range(self.rank, count, self.size)) * self.size / count


ALL = Share()


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
    examples: Examples,
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Settings,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new adapter on the MMDiT to the recipe's end -> the finished run

    Stopped and continued as `train_adapter` says.
    """
    origin = origin_of(examples, origin)
    return train_adapter(
        mmdit,
        lambda adapter: loss_of(mmdit, examples, empty, recipe, settings),
        recipe, settings, folder, origin, accumulate=settings.accumulate, **fit,
    )  # fmt: skip


def train_adapter(
    mmdit: nn.Module,
    objective: Callable[[lora.LoRA], Callable],
    recipe: Recipe,
    settings: Adapter,
    folder: str | Path | RunFolder,
    origin: str = "",
    choices: Choices | None = None,
    **fit,
) -> Run:
    """Train a new adapter by any objective -> the finished run

    objective: from the adapter to what Run.fit needs, a function from a batch's number to its loss.
    choices: the objective's own, where they are not among the settings.
    A run that was stopped continues from its folder, to the same bits: what is drawn at a step
    depends on seed and step alone. Raises RunError for a folder of another run.
    """
    adapter = lora.inject(
        mmdit, lora.TARGETS[settings.targets], settings.rank, settings.alpha, recipe.seed
    )
    terms = asdict(settings) | ({} if choices is None else asdict(choices))
    run = Run(adapter, recipe, folder, origin=origin, settings=terms)
    run.fit(objective(adapter), **fit)
    return run


def loss_of(
    mmdit: nn.Module,
    examples: Examples,
    empty: torch.Tensor,
    recipe: Recipe,
    settings: Flow,
    share: Share = ALL,
) -> Callable[[int], torch.Tensor]:
    """-> a function from the number of a batch to its loss, as Run.fit needs it

    share: the part of each batch of which that is the loss. Raises ValueError for dropout where an
    example has regions.
    """
    batches = batches_of(examples, recipe, settings)
    base = mmdit.proj_out.weight

    def loss_at(number: int) -> torch.Tensor:
        rng = recipe.generator(number)
        chosen = [examples[i] for i in batches[number]]
        drop = torch.rand(len(chosen), generator=rng) < settings.dropout
        data = torch.stack([example.latents for example in chosen]).to(base)
        noise = torch.randn(data.shape, generator=rng).to(base)
        tokens = data.shape[2] * data.shape[3] // 4 // chosen[0].frames  # one frame counts
        sigma = draw_sigma(settings.sigma, len(chosen), rng, tokens, settings.shift)
        rows = share.rows(len(chosen))
        mine = [chosen[i] for i in rows]
        own = [empty if example.empty is None else example.empty for example in mine]
        states = [own[n] if drop[i] else mine[n].txt for n, i in enumerate(rows)]
        txt, mask = padded(states)
        mask = None if mask is None else mask.to(base.device)
        weight = loss_weight(settings.weighting, sigma).to(base.device)[rows]
        inputs = data[rows], noise[rows], sigma[rows].to(base.device), txt.to(base), mask
        loss = flow_step(conditioned(mmdit, mine), *inputs, weight=weight)
        return loss * share.weight(len(chosen))

    return loss_at
