"""Chapter 33: image to LoRA."""

import torch


def EX_33_COUNT(width: int, blocks: int, in_dim: int, compress: int, rank: int) -> int:
    """Two bottlenecks a layer: one as long as its input, the other as its output."""
    sides = 2 * (4 * (1 + 1) + (4 + 1) + (1 + 6)) * width  # inputs and outputs of twelve layers
    return blocks * compress * (2 * 12 * in_dim + sides * rank)


def EX_33_GRAM(latents):
    """Mean products of all pairs of channels, one of ones among them."""
    channels = latents.flatten(1)
    channels = torch.cat([channels, torch.ones(1, channels.shape[1])])
    return channels @ channels.T / channels.shape[1]


def EX_33_JOINED(loras: list):
    """Stacked along the rank, each counted as one of N."""
    A = torch.cat([A for A, _ in loras]) / len(loras)
    return A, torch.cat([B for _, B in loras], dim=1)


def EX_33_HANDED(written: list, slopes: list):
    """A sum whose gradient by each tensor is its slope, and whose value is zero."""
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + ((tensor - tensor.detach()) * slope).sum()
    return total


SPOILERS = {
    "ex_33_count": {"40", "24"},
    "ex_33_gram": {"flatten", "ones(", "@"},
    "ex_33_joined": {"cat", "len("},
    "ex_33_handed": {"detach", "is not None"},
}
