"""Chapter 08: the shifted sampler."""

import math

import torch


def EX_08_STEP(x, velocity, sigma, sigma_next):
    """(B, I, D), (B, I, D), (), () -> (B, I, D): the sum in float32, all else as velocity is"""
    moved = (sigma_next - sigma) * velocity
    return (x + moved).to(velocity.dtype)


def EX_08_MU(height: int, width: int) -> float:
    """A straight line over image tokens: 0.5 at 256, 0.9 at 8192, clamped nowhere."""
    image_tokens = (height // 16) * (width // 16)
    return 0.5 + (image_tokens - 256) * (0.9 - 0.5) / (8192 - 256)


def EX_08_STRETCH(levels, terminal: float):
    """The distance from 1 grows by one factor, so that the last level becomes the terminal one."""
    done = 1 - levels
    return 1 - done * (1 - terminal) / done[-1]


def EX_08_SIGMAS(steps: int, mu: float, terminal: float):
    """-> (steps + 1,) even levels, shifted by e to the mu, stretched, and a 0 behind them"""
    even = torch.linspace(1, 1 / steps, steps)
    shift = math.exp(mu)
    levels = EX_08_STRETCH(shift / (shift + (1 / even - 1)), terminal)
    return torch.cat([levels, torch.zeros(1)])


def EX_08_GUIDE(cond, uncond, true_cfg_scale: float):
    """Extrapolate from uncond through cond; every token keeps the length it has in cond."""
    combined = uncond + true_cfg_scale * (cond - uncond)
    length = cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
    return combined * length


def EX_08_LOOP(network, x, levels, cond, uncond, true_cfg_scale: float):
    """x (B, I, D), levels (steps + 1,) -> (B, I, D), and the clean estimate of every step

    network: (B, I, D), times (B,) and a condition -> velocity (B, I, D).
    """
    estimates = []
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = ((1000 * sigma).to(x.dtype) / 1000).expand(len(x))
        velocity = network(x, time, cond)
        if uncond is not None:
            velocity = EX_08_GUIDE(velocity, network(x, time, uncond), true_cfg_scale)
        estimates.append(x - sigma * velocity)
        x = EX_08_STEP(x, velocity, sigma, sigma_next)
    return x, estimates


SPOILERS = {
    "ex_08_step": {"float", "dtype"},
    "ex_08_mu": {"7936", "slope", "6889"},
    "ex_08_stretch": {"done", "divide", "factor"},
    "ex_08_sigmas": {"linspace", "cat", "exp"},
    "ex_08_guide": {"dim", "keepdim", "norm"},
    "ex_08_loop": {"zip", "expand"},
}
