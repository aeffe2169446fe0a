"""Channels last in a token."""

import torch


def answer(seeds, height, width):
    shape = 1, 16, height // 8, width // 8
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    latents = torch.cat(drawn)
    patches = latents.view(len(seeds), 16, height // 16, 2, width // 16, 2)
    return patches.permute(0, 2, 4, 3, 5, 1).reshape(len(seeds), -1, 64)


HINT = "in another order"
