"""Preference (Diffusion-DPO): of two pictures of one caption, the better one is predicted better.

    D = |v - v_winner|^2 - |v - v_loser|^2      of the policy; D_ref likewise, of the reference
    loss = -log sigmoid(-beta / 2 (D - D_ref))

The technical report's equation 3; the factor a half, mean squared errors in place of sums and
beta = 100 are flow_grpo's (the report states no beta, and sums would need one 4CI times smaller).
The reference is the same network with its LoRA off. The loss only widens a difference, and both
errors may rise meanwhile: all four are logged.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..adapt.lora import LoRA
from ..pipeline import QwenImage
from .dataset import Example, encode
from .flow import SIGMAS, draw_sigma, flow_errors
from .loop import Recipe, Run
from .lora import Adapter, Batches, demand, demand_known, origin_of, padded, train_adapter
from .run_folder import RunFolder


@dataclass(frozen=True)
class Comparison:
    """Two pictures of one caption, the first of which was preferred."""

    winner: torch.Tensor  # (C, h, w), normalised latents
    loser: torch.Tensor  # (C, h, w)
    txt: torch.Tensor  # (T, Dt)


@dataclass(frozen=True)
class Preference(Adapter):
    """A DPO run's choices besides its recipe."""

    beta: float = 100.0  # weight of mean squared errors, as in flow_grpo
    sigma: str = "uniform"  # a key of SIGMAS; uniform in the report
    shift: float = 2.2  # used by sigma "shift" only
    accumulate: int = 1  # batches whose gradients are averaged into one step

    def __post_init__(self):
        super().__post_init__()
        demand(self, ("accumulate",), lambda value: value >= 1, "at least 1")
        demand(self, ("beta", "shift"), lambda value: 0 < value < math.inf, "above 0 and finite")
        demand_known(self, {"sigma": SIGMAS})


def dpo_loss(winner, loser, ref_winner, ref_loser, beta: float):
    """(B,), (B,), (B,), (B,) -> (): from the errors of policy and reference; ln 2 if they agree"""
    lead = (winner - loser) - (ref_winner - ref_loser)
    return -F.logsigmoid(-beta / 2 * lead).mean()


def errors_of_both(mmdit, winner, loser, noise, sigma, txt, txt_mask=None):
    """(B, C, h, w), (B, C, h, w), (B, C, h, w), (B,), (B, T, Dt) -> (B,), (B,)

    Mean squared errors of winner and loser. Both lie under the same noise at the same sigma, so
    that nothing but the pictures differs.
    """
    sigma, txt, noise = sigma.repeat(2), txt.repeat(2, 1, 1), noise.repeat(2, 1, 1, 1)
    txt_mask = None if txt_mask is None else txt_mask.repeat(2, 1)
    pictures = torch.cat([winner, loser])
    return flow_errors(mmdit, pictures, noise, sigma, txt, txt_mask).mean((1, 2)).chunk(2)


def encode_comparisons(
    pipe: QwenImage, rows: list[dict], folder: RunFolder, max_pixels: int, weights: str = ""
) -> list[Comparison]:
    """Rows of a table of COMPARISONS -> each as training needs it, kept as dataset.encode does"""
    pictures = [Example(row[name], row["prompt"]) for row in rows for name in ("winner", "loser")]
    encoded, _ = encode(pipe, pictures, folder, max_pixels, weights)
    both = zip(encoded[::2], encoded[1::2])
    return [Comparison(winner.latents, loser.latents, winner.txt) for winner, loser in both]


def loss_of(
    mmdit: nn.Module,
    adapter: LoRA,
    comparisons: list[Comparison],
    recipe: Recipe,
    settings: Preference,
) -> Callable[[int], tuple[torch.Tensor, dict]]:
    """-> a function from the number of a batch to its loss and its four errors"""
    shapes = [tuple(comparison.winner.shape) for comparison in comparisons]
    batches, base = Batches(shapes, recipe.batch, recipe), mmdit.proj_out.weight

    def loss_at(number: int):
        rng, chosen = recipe.generator(number), [comparisons[i] for i in batches[number]]
        winner, loser = (
            torch.stack([getattr(one, name) for one in chosen]).to(base)
            for name in ("winner", "loser")
        )
        noise = torch.randn(winner.shape, generator=rng).to(base)
        tokens = winner.shape[2] * winner.shape[3] // 4
        sigma = draw_sigma(settings.sigma, len(chosen), rng, tokens, settings.shift)
        txt, mask = padded([one.txt for one in chosen])
        mask = None if mask is None else mask.to(base.device)
        drawn = winner, loser, noise, sigma.to(base.device), txt.to(base), mask
        with torch.no_grad(), adapter.off():
            reference = errors_of_both(mmdit, *drawn)
        policy = errors_of_both(mmdit, *drawn)
        names = "winner", "loser", "reference_winner", "reference_loser"
        numbers = {n: error.mean().item() for n, error in zip(names, [*policy, *reference])}
        return dpo_loss(*policy, *reference, settings.beta), numbers

    return loss_at


def train(
    mmdit: nn.Module,
    comparisons: list[Comparison],
    recipe: Recipe,
    settings: Preference,
    folder: str | Path | RunFolder,
    origin: str = "",
    **fit,
) -> Run:
    """Train a new adapter by DPO -> the finished run; see lora.train_adapter"""
    origin = origin_of(comparisons, origin)
    return train_adapter(
        mmdit,
        lambda adapter: loss_of(mmdit, adapter, comparisons, recipe, settings),
        recipe, settings, folder, origin, accumulate=settings.accumulate, **fit,
    )  # fmt: skip
