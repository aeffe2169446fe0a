"""Chapter 23: image to image and inpainting."""

import torch


def EX_23_BLEND(latents, clean, noise, mask, sigma):
    """Outside the mask, the picture under the noise of this level; inside, what was painted.

    (B, C, h, w), (B, C, h, w), (B, C, h, w), (B or 1, 1, h, w), () -> (B, C, h, w)
    """
    outside = (1 - sigma) * clean + sigma * noise
    return (1 - mask) * outside + mask * latents


def EX_23_JUMP(latents, fresh, sigma, higher):
    """Latents at one level -> at a higher one; variances of independent noises add up

    (B, C, h, w), (B, C, h, w), (), () -> (B, C, h, w)
    """
    shrunk = (1 - higher) / (1 - sigma)
    missing = (higher**2 - (shrunk * sigma) ** 2) ** 0.5
    return shrunk * latents + missing * fresh


def EX_23_RELEASED(change, steps: int):
    """(h, w) strengths in float64 -> (steps, h, w), true from the first step that each takes"""
    first = (steps - steps * change).floor()
    return torch.arange(steps).view(-1, 1, 1) >= first


SPOILERS = {
    "ex_23_blend": {"lerp", "masked_fill"},
    "ex_23_jump": {"shrunk", "missing", "0.5"},
    "ex_23_released": {"arange", "floor", "ceil"},
}
