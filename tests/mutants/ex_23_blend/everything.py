"""Puts the whole picture back."""

HINT = "nothing is painted"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    return known
