"""How like its original is a copy? PSNR and SSIM, as the technical report measures its VAE.

Pictures are in 0 to 1. SSIM is that of Wang, Bovik, Sheikh and Simoncelli (2004).
"""

import torch

from .. import pictures
from ..vae import VAE

WINDOW, SIGMA = 11, 1.5  # pixels: side and spread of the Gaussian that SSIM looks through
STABLE = (0.01**2, 0.03**2)  # keep the two quotients finite where a window is flat


def psnr(a, b):
    """(B, 3, H, W), (B, 3, H, W) -> (B,) peak signal-to-noise ratio in dB, infinite for equals"""
    return pictures.psnr(a, b, span=1.0)


def ssim(a, b):
    """(B, 3, H, W), (B, 3, H, W) -> (B,) structural similarity: 1 for equals, 0 for strangers

    Means, variances and covariance under a Gaussian window, at every place where it fits.
    """
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"pictures of {tuple(a.shape[2:])} pixels; SSIM needs {WINDOW} a side")
    a, b = a.double(), b.double()  # the square of a mean eats float32's digits of a small variance
    mean_a, mean_b = _blur(a), _blur(b)
    spread_a, spread_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    shared = _blur(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + STABLE[0]) / (mean_a**2 + mean_b**2 + STABLE[0])
    structure = (2 * shared + STABLE[1]) / (spread_a + spread_b + STABLE[1])
    return (light * structure).flatten(1).mean(1)


def _blur(x):
    """(B, 3, H, W) -> (B, 3, H - 10, W - 10) Gaussian means, down and then across"""
    return _windows(x.shape[2]) @ x @ _windows(x.shape[3]).T


def _windows(side: int):
    """-> (side - 10, side): every row is the Gaussian at its own place, zero elsewhere"""
    place = torch.arange(side) - torch.arange(side - WINDOW + 1).unsqueeze(1) - WINDOW // 2
    weights = torch.exp(-(place.double() ** 2) / (2 * SIGMA**2)) * (place.abs() <= WINDOW // 2)
    return weights / weights.sum(1, keepdim=True)


@torch.no_grad()
def reconstruct(vae: VAE, img):
    """(B, 3, H, W) -> (B, 3, H, W): encoded to the posterior's mean and decoded, 8 at a time"""
    copies = [vae.decode(vae.encode(part * 2 - 1)[0]) for part in img.split(8)]
    return (torch.cat(copies) / 2 + 0.5).clamp(0, 1)
