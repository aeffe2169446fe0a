"""Flow matching: the objective that the MMDiT is trained with."""

import dataclasses
import functools
import math

import torch

from ..config import SchedulerConfig
from ..sampler import pack, sigmas

OFFICIAL = SchedulerConfig.official()
# what DiffSynth trains on: 1,000 levels of one shift, e^0.8, at every size
TRAINING_GRID = dataclasses.replace(OFFICIAL, base_shift=0.8, max_shift=0.8)


def sample_sigma(count: int, shift: float, generator: torch.Generator):
    """-> (B,) noise levels in (0, 1): logit-normal, shifted towards noise as in the sampler"""
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * sigma / (1 + (shift - 1) * sigma)


def shift_at(image_tokens: int) -> float:
    """The sampler's own shift for pictures of so many tokens: 1.65 at 256, 2.3 at 6,889."""
    unstretched = dataclasses.replace(OFFICIAL, shift_terminal=0.0)
    half = sigmas(2, image_tokens, unstretched)[1].item()  # where the middle of the way has gone
    return half / (1 - half)


SIGMAS = {  # name: drawn how, from count, generator, image tokens and a shift
    "uniform": lambda count, rng, tokens, shift: torch.rand(count, generator=rng),
    "logit-normal": lambda count, rng, tokens, shift: sample_sigma(count, 1.0, rng),
    "shift": lambda count, rng, tokens, shift: sample_sigma(count, shift, rng),
    "qwen_shift": lambda count, rng, tokens, shift: sample_sigma(count, shift_at(tokens), rng),
}


def draw_sigma(kind: str, count: int, generator, image_tokens: int = 256, shift: float = 2.2):
    """-> (B,) noise levels, by one of the rules of the public trainers, a key of SIGMAS

    "shift" uses `shift`, "qwen_shift" what the sampler uses for pictures of `image_tokens`.
    """
    if kind not in SIGMAS:
        raise ValueError(f"no rule for sigma is called {kind!r}; there are {', '.join(SIGMAS)}")
    return SIGMAS[kind](count, generator, image_tokens, shift)


def _bell(sigma):
    """DiffSynth's default: no weight on pure noise, most in the middle, 1 on average"""
    lowest, mean = _bell_numbers()
    return (torch.exp(-2 * (sigma - 0.5) ** 2) - lowest) / mean


@functools.cache
def _bell_numbers() -> tuple[float, float]:
    grid = sigmas(1000, OFFICIAL.base_image_seq_len, TRAINING_GRID)[:-1].double()
    heights = torch.exp(-2 * (grid - 0.5) ** 2)
    lowest = heights.min()
    return lowest.item(), (heights - lowest).mean().item()


WEIGHTS = {
    "none": torch.ones_like,
    "bell": _bell,
    "sigma_sqrt": lambda sigma: sigma**-2.0,
    "cosmap": lambda sigma: 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2)),
}


def loss_weight(kind: str, sigma):
    """(B,) -> (B,) how much the loss at these noise levels counts; a key of WEIGHTS"""
    if kind not in WEIGHTS:
        raise ValueError(f"no weighting is called {kind!r}; there are {', '.join(WEIGHTS)}")
    return WEIGHTS[kind](sigma)


def flow_step(mmdit, latents, noise, sigma, txt, txt_mask=None, weight=None):
    """(B, C, h, w), (B, C, h, w), (B,), (B, T, Dt) -> () mean squared error of the velocity

    The path from data to noise is straight, x = (1 - sigma) data + sigma noise, so its velocity is
    noise - data wherever one stands on it. Latents are normalised. weight: (B,), or None for 1.
    """
    B, _, h, w = latents.shape
    level = sigma.view(B, 1, 1, 1).to(latents.dtype)
    noisy = (1 - level) * latents + level * noise
    velocity = mmdit(pack(noisy), txt, sigma, [(1, h // 2, w // 2)], txt_mask)
    error = (velocity.float() - pack(noise - latents)).pow(2)
    return error.mean() if weight is None else (weight * error.mean((1, 2))).mean()
