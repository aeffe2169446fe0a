"""From noise to latents: packing, the shifted noise schedule, Euler steps, guidance."""

import math

import numpy as np
import torch
from einops import rearrange

from .config import SchedulerConfig
from .limits import check_seed, check_steps


def generators(seed, count: int) -> list[torch.Generator]:
    """A seed for `count` pictures, one generator; or a list of `count` seeds, one each."""
    if not isinstance(seed, (list, tuple, np.ndarray)):
        return [_generator(seed)]
    if len(seed) != count:
        raise ValueError(f"seed must be one number or {count}, one a prompt, got {len(seed)}")
    return [_generator(one) for one in seed]


def _generator(seed: int | None) -> torch.Generator:
    number = torch.Generator().seed() if seed is None else check_seed(seed)
    return torch.Generator().manual_seed(number)


def draw(shape, generators: list[torch.Generator], dtype: torch.dtype):
    """-> (B, C, h, w) normal numbers on the CPU: all from one generator, or a picture from each"""
    part = (shape[0] // len(generators), *shape[1:])
    return torch.cat([torch.randn(part, generator=each, dtype=dtype) for each in generators])


def pack(latents):
    """(B, C, h, w) -> (B, I, 4C): every 2x2 patch becomes a token, channels in order (c, dy, dx)"""
    return rearrange(latents, "b c (h dy) (w dx) -> b (h w) (c dy dx)", dy=2, dx=2)


def unpack(tokens, rows: int, cols: int):
    """(B, I, 4C) -> (B, C, h, w), with I = rows * cols tokens; the inverse of `pack`"""
    pattern = "b (h w) (c dy dx) -> b c (h dy) (w dx)"
    return rearrange(tokens, pattern, h=rows, w=cols, dy=2, dx=2)


def shift_at(image_tokens: int, config: SchedulerConfig) -> float:
    """The shift at this image size: e to the mu, or in Layered a square root."""
    if config.time_shift_type == "linear":
        return math.sqrt(image_tokens / config.base_image_seq_len)
    slope = (config.max_shift - config.base_shift) / (
        config.max_image_seq_len - config.base_image_seq_len
    )
    return math.exp(config.base_shift + slope * (image_tokens - config.base_image_seq_len))


def sigmas(num_inference_steps: int, image_tokens: int, config: SchedulerConfig):
    """-> (steps + 1,) float32 noise levels, falling from 1 to 0

    Larger pictures stay longer at high noise, because `shift` grows with the number of image
    tokens. Raises ValueError where upstream would return NaN: one step with a terminal stretch.
    """
    check_steps(num_inference_steps, config.num_train_timesteps, config.shift_terminal)
    # careful: float32 and these very operations, or last bits are not upstream's
    s = torch.linspace(1, 1 / num_inference_steps, num_inference_steps, dtype=torch.float64).float()
    if config.use_dynamic_shifting:
        # a tensor, because torch divides a plain number by a tensor in two roundings
        shift = torch.tensor(shift_at(image_tokens, config), dtype=torch.float32)
        s = shift / (shift + (1 / s - 1))
    else:
        s = config.shift * s / (1 + (config.shift - 1) * s)
    if config.shift_terminal:
        done = 1 - s
        s = 1 - done / (done[-1] / (1 - config.shift_terminal))
    s = torch.cat([s, torch.zeros(1)])
    if not (s[0] == 1 and (s.diff() < 0).all()):
        raise ValueError(f"sigmas must fall from 1 by this config, got {s.tolist()}; correct it")
    return s


def model_time(sigma, dtype):
    """() -> (): the sigma as the network reads it. In bf16 upstream rounds 1000 sigma first."""
    return (1000 * sigma).to(dtype) / 1000


def euler_step(x, velocity, sigma, sigma_next):
    """(B, I, D), (B, I, D), (), () -> (B, I, D): one straight step along the velocity"""
    # careful: the product stays in the velocity's type, as upstream's does; only the sum is float32
    return (x.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)


def guide(cond, uncond, true_cfg_scale: float):
    """(B, I, D), (B, I, D) -> (B, I, D): pushed away from the negative prompt, length kept

    Every token keeps the length of its conditional prediction, so strong guidance does not burn.
    """
    combined = uncond + true_cfg_scale * (cond - uncond)
    length = cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
    return combined * length
