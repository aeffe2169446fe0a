"""Leaves the painted latents outside of the mask."""

HINT = "outside of the mask, too"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return (1 - mask) * known + latents
