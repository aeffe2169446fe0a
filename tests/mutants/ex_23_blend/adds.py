"""Adds the picture under the mask, too."""

HINT = "under the mask, too"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return known + mask * latents
