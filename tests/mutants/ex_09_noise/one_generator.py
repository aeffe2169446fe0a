"""One generator for all."""

import torch


def answer(seeds, height, width):
    shape = 1, 16, height // 8, width // 8
    generator = torch.Generator().manual_seed(seeds[0])
    latents = torch.cat([torch.randn(shape, generator=generator) for _ in seeds])
    patches = latents.view(len(seeds), 16, height // 16, 2, width // 16, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(len(seeds), -1, 64)


HINT = "come from one generator"
