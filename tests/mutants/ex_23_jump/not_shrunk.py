"""Noise is added, and nothing shrinks."""


def answer(latents, fresh, sigma, higher):
    return latents + (higher**2 - sigma**2) ** 0.5 * fresh


HINT = "it is fainter"
