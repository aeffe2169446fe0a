"""Flow matching: the MMDiT's training objective, its noise levels and its loss weights."""

import dataclasses
import functools
import math

import torch

from ..config import SchedulerConfig
from ..sampler import guide, pack, sigmas

OFFICIAL = SchedulerConfig.official()
# DiffSynth's training levels: 1,000 of one shift, e^0.8, at every size
TRAINING_GRID = dataclasses.replace(OFFICIAL, base_shift=0.8, max_shift=0.8)


def sample_sigma(count: int, shift: float, generator: torch.Generator):
    """-> (B,) noise levels in (0, 1): logit-normal, shifted towards noise as in the sampler"""
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * sigma / (1 + (shift - 1) * sigma)


def shift_at(image_tokens: int) -> float:
    """The sampler's own shift at this many image tokens: 1.65 at 256, 2.3 at 6,889."""
    unstretched = dataclasses.replace(OFFICIAL, shift_terminal=0.0)
    half = sigmas(2, image_tokens, unstretched)[1].item()  # the middle level, shifted
    return half / (1 - half)


SIGMAS = {  # name: distribution, drawn from count, generator, image tokens and a shift
    "uniform": lambda count, rng, tokens, shift: torch.rand(count, generator=rng),
    "logit-normal": lambda count, rng, tokens, shift: sample_sigma(count, 1.0, rng),
    "shift": lambda count, rng, tokens, shift: sample_sigma(count, shift, rng),
    "qwen_shift": lambda count, rng, tokens, shift: sample_sigma(count, shift_at(tokens), rng),
}


def draw_sigma(kind: str, count: int, generator, image_tokens: int = 256, shift: float = 2.2):
    """-> (B,) noise levels from one of the public trainers' distributions, a key of SIGMAS

    "shift" uses `shift`, "qwen_shift" the sampler's shift at `image_tokens`. Raises ValueError for
    an unknown kind.
    """
    if kind not in SIGMAS:
        raise ValueError(f"sigma must be one of {', '.join(SIGMAS)}, got {kind!r}")
    return SIGMAS[kind](count, generator, image_tokens, shift)


def _bell(sigma):
    """DiffSynth's default: zero at pure noise, largest in the middle, 1 on average"""
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
    """(B,) -> (B,) weights of the loss at these noise levels; kind: a key of WEIGHTS

    Raises ValueError for an unknown kind.
    """
    if kind not in WEIGHTS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTS)}, got {kind!r}")
    return WEIGHTS[kind](sigma)


def flow_errors(mmdit, latents, noise, sigma, txt, txt_mask=None):
    """(B, C, h, w), (B, C, h, w), (B,), (B, T, Dt) -> (B, I, 4C): squared errors of the velocity

    The path from data to noise is straight, x = (1 - sigma) data + sigma noise, so its velocity is
    noise - data at every sigma. Latents are normalised. Errors are computed in float32 whatever the
    network's type: squares of small errors vanish in 16 bits.
    """
    B, _, h, w = latents.shape
    level = sigma.view(B, 1, 1, 1).to(latents.dtype)
    noisy = (1 - level) * latents + level * noise
    velocity = mmdit(pack(noisy), txt, sigma, [(1, h // 2, w // 2)], txt_mask)
    return (velocity.float() - pack(noise - latents)).pow(2)


def flow_step(mmdit, latents, noise, sigma, txt, txt_mask=None, weight=None):
    """(B, C, h, w), (B, C, h, w), (B,), (B, T, Dt) -> () mean of `flow_errors`

    weight: (B,), or None for 1.
    """
    error = flow_errors(mmdit, latents, noise, sigma, txt, txt_mask)
    return error.mean() if weight is None else (weight * error.mean((1, 2))).mean()


def guided_velocity(mmdit, x, txt, txt_mask, empty, sigma, grid, guidance: float):
    """The velocity as the sampler takes it: (B, I, 4C), like x

    txt (B, T, Dt), txt_mask (B, T) or None, empty (Te, Dt) the negative prompt's states, sigma ()
    or (B,). guidance 1 needs one pass instead of two.
    """
    time = sigma.expand(len(x))
    cond = mmdit(x, txt, time, [grid], txt_mask)
    if guidance == 1:
        return cond
    uncond = mmdit(x, empty.to(x).expand(len(x), -1, -1), time, [grid])
    return guide(cond, uncond, guidance)
