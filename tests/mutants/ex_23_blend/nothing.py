"""Hands the latents on."""

HINT = "nothing is put back"


def answer(latents, clean, noise, mask, sigma):
    return latents
