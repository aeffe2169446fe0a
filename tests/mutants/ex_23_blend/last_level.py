"""Drifts from the picture in the last bits."""

HINT = "to the last bit"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return latents + (1 - mask) * (known - latents)
