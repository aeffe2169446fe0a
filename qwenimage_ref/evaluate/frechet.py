"""A distance between two heaps of pictures, as FID measures it, on features that are here anyway.

FID (Heusel and others, 2017) compares what an Inception network sees; here it is what the VAE
sees. The formula, and how it deceives with few pictures, are the same.
"""

import numpy as np
import torch

from ..pictures import to_input

BATCH = 8  # pictures encoded at a time


@torch.no_grad()
def features(vae, pictures) -> torch.Tensor:
    """N pictures -> (N, 2C): mean and deviation of each channel of their normalised latents"""
    found = []
    for start in range(0, len(pictures), BATCH):
        img = to_input(pictures[start : start + BATCH])
        latents = vae.normalize(vae.encode(img)[0])
        found.append(torch.cat([latents.mean((2, 3)), latents.std((2, 3))], 1))
    return torch.cat(found).double()


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
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def frechet_limit(by_size: dict[int, float]) -> float:
    """Distances by sample size -> where they lead as samples grow: the line over 1/size, at 0

    The distance of a finite sample is too large by about a constant over its size. One size alone
    is taken as it is.
    """
    sizes, distances = map(list, zip(*by_size.items()))
    if len(sizes) == 1:
        return distances[0]
    return float(np.polynomial.Polynomial.fit(1 / np.array(sizes), distances, 1)(0))
