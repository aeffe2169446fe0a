"""Mixes as if sigma 1 were the picture."""

HINT = "much noise, not little"


def answer(latents, clean, noise, mask, sigma):
    known = sigma * clean + (1 - sigma) * noise
    return (1 - mask) * known + mask * latents
