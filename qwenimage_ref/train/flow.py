"""Flow matching: the objective that the MMDiT is trained with."""

import torch

from ..sampler import pack


def sample_sigma(count: int, shift: float, generator: torch.Generator):
    """-> (B,) noise levels in (0, 1): logit-normal, shifted towards noise as in the sampler"""
    sigma = torch.sigmoid(torch.randn(count, generator=generator))
    return shift * sigma / (1 + (shift - 1) * sigma)


def flow_loss(mmdit, latents, noise, sigma, txt, txt_mask=None):
    """(B, C, h, w), (B, C, h, w), (B,), (B, T, Dt) -> () mean squared error of the velocity

    The path from data to noise is straight, x = (1 - sigma) data + sigma noise, so its velocity is
    noise - data wherever one stands on it. Latents are normalised.
    """
    B, _, h, w = latents.shape
    level = sigma.view(B, 1, 1, 1)
    noisy = (1 - level) * latents + level * noise
    velocity = mmdit(pack(noisy), txt, sigma, [(1, h // 2, w // 2)], txt_mask)
    return (velocity.float() - pack(noise - latents)).pow(2).mean()
