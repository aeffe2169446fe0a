"""Draws new noise for what is put back."""

import torch

HINT = "is not the picture under noise"


def answer(latents, clean, noise, mask, sigma):
    fresh = torch.randn_like(clean)
    known = (1 - sigma) * clean + sigma * fresh
    return (1 - mask) * known + mask * latents
