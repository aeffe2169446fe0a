"""Blends the first picture of a batch alone."""

HINT = "became (1,"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return ((1 - mask) * known + mask * latents)[:1]
