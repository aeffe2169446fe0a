"""Counts latents, four to a token."""

HINT = "two latents wide"


def answer(height, width):
    return 0.5 + ((height // 8) * (width // 8) - 256) * 0.4 / (8192 - 256)
