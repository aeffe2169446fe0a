"""Gives small pictures the large number."""

HINT = "belongs to 256 tokens"


def answer(height, width):
    return 0.9 + ((height // 16) * (width // 16) - 256) * (0.5 - 0.9) / (8192 - 256)
