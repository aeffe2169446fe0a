"""Stays between the two numbers of the file."""

HINT = "below 0.5"


def answer(height, width):
    mu = 0.5 + ((height // 16) * (width // 16) - 256) * 0.4 / (8192 - 256)
    return min(max(mu, 0.5), 0.9)
