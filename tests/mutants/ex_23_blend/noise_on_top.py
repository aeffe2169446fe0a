"""Adds the noise to the full picture."""

HINT = "keeps its full weight"


def answer(latents, clean, noise, mask, sigma):
    known = clean + sigma * noise
    return (1 - mask) * known + mask * latents
