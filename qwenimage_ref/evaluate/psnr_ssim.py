"""PSNR and SSIM, the two measures by which the technical report judges its VAE.

Pictures are in 0 to 1. SSIM is that of Wang, Bovik, Sheikh and Simoncelli (2004).
"""

import torch

from .. import pictures
from ..vae import VAE

WINDOW, SIGMA = 11, 1.5  # pixels: side and standard deviation of SSIM's Gaussian window
STABLE = (0.01**2, 0.03**2)  # constants that keep both quotients finite where a window is flat


def psnr(a, b):
    """(B, 3, H, W), (B, 3, H, W) -> (B,) peak signal-to-noise ratio in dB, infinite for equals"""
    return pictures.psnr(a, b, span=1.0)


def ssim(a, b):
    """(B, 3, H, W), (B, 3, H, W) -> (B,) structural similarity, 1 for equal pictures

    Means, variances and covariance are taken under a Gaussian window at every place where it fits.
    Raises ValueError for pictures smaller than the window.
    """
    if min(a.shape[2:]) < WINDOW:
        raise ValueError(f"sides must be at least {WINDOW} pixels, got {tuple(a.shape[2:])}")
    a, b = a.double(), b.double()  # float32 loses a small variance in the difference of squares
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + STABLE[0]) / (mean_a**2 + mean_b**2 + STABLE[0])
    structure = (2 * covariance + STABLE[1]) / (var_a + var_b + STABLE[1])
    return (light * structure).flatten(1).mean(1)


def _blur(x):
    """(B, 3, H, W) -> (B, 3, H - 10, W - 10) Gaussian means, down and then across"""
    return _windows(x.shape[2]) @ x @ _windows(x.shape[3]).T


def _windows(side: int):
    """-> (side - 10, side), each row a Gaussian window one place further on, zero elsewhere"""
    place = torch.arange(side) - torch.arange(side - WINDOW + 1).unsqueeze(1) - WINDOW // 2
    weights = torch.exp(-(place.double() ** 2) / (2 * SIGMA**2)) * (place.abs() <= WINDOW // 2)
    return weights / weights.sum(1, keepdim=True)


@torch.no_grad()
def reconstruct(vae: VAE, img):
    """(B, 3, H, W) -> (B, 3, H, W): encoded to the posterior's mean and decoded, 8 at a time"""
    copies = [vae.decode(vae.encode(part * 2 - 1)[0]) for part in img.split(8)]
    return (torch.cat(copies) / 2 + 0.5).clamp(0, 1)
