"""Stops at the second point."""

HINT = "above 0.9"


def answer(height, width):
    mu = 0.5 + ((height // 16) * (width // 16) - 256) * 0.4 / (8192 - 256)
    return min(mu, 0.9)
