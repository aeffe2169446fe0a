"""The Fréchet distance between two sets of pictures, as in FID but on features of the VAE.

FID (Heusel and others, 2017) takes its features from an Inception network. The formula here is the
same, and so is its bias for small sets.
"""

import numpy as np
import torch

from ..pictures import to_input

BATCH = 8  # pictures encoded at a time


@torch.no_grad()
def features(vae, pictures) -> torch.Tensor:
    """N pictures -> (N, 2C): mean and deviation of each channel of their normalised latents"""
    rows = []
    for start in range(0, len(pictures), BATCH):
        img = to_input(pictures[start : start + BATCH])
        latents = vae.normalize(vae.encode(img)[0])
        rows.append(torch.cat([latents.mean((2, 3)), latents.std((2, 3))], 1))
    return torch.cat(rows).double()


def frechet(a, b) -> float:
    """(N, D), (M, D) -> squared Fréchet distance of the two normal distributions fitted to them

    |mean_a - mean_b|^2 + trace(A + B - 2 sqrt(A B)), A and B the covariances.
    """
    cov_a, cov_b = a.T.cov(), b.T.cov()
    root_a = _root(cov_a)
    # sqrt(A B) has the trace of sqrt(A^1/2 B A^1/2), which is symmetric
    mixed = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).pow(2).sum()
    return (means + cov_a.trace() + cov_b.trace() - 2 * mixed).item()


def _root(matrix):
    """(D, D) -> (D, D), the square root of a symmetric matrix that may be singular"""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def frechet_limit(by_size: dict[int, float]) -> float:
    """Distances by sample size -> their extrapolation to an infinite sample

    The bias of a finite sample falls about as 1 / size, so a line over 1 / size is fitted and read
    off at 0. A single size is returned as it is.
    """
    sizes, distances = map(list, zip(*by_size.items()))
    if len(sizes) == 1:
        return distances[0]
    return float(np.polynomial.Polynomial.fit(1 / np.array(sizes), distances, 1)(0))
