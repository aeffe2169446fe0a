"""The most likely point instead of the mean of all."""

import torch.nn.functional as F


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - (1 - sigma) * points).square().sum(-1)
    posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
    posterior = F.one_hot(posterior.argmax(-1), len(points)).float()
    errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
    return (chances * errors).sum()


HINT = "the most likely point"
