"""Paints what should stay."""

HINT = "wrong way round"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return mask * known + (1 - mask) * latents
