"""Gives latents."""

import torch


def answer(seeds, height, width):
    shape = 1, 16, height // 8, width // 8
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    latents = torch.cat(drawn)
    return latents


HINT = "works on packed tokens"
