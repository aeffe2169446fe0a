"""Seeds all of torch."""

import torch


def answer(seeds, height, width):
    shape = 1, 16, height // 8, width // 8
    drawn = []
    for seed in seeds:
        torch.manual_seed(seed)
        drawn.append(torch.randn(shape))
    latents = torch.cat(drawn)
    patches = latents.view(len(seeds), 16, height // 16, 2, width // 16, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(len(seeds), -1, 64)


HINT = "global generator"
