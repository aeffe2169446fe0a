"""Counts pixels instead of tokens."""

HINT = "count tokens, not pixels"


def answer(height, width):
    return 0.5 + (height * width - 256) * 0.4 / (8192 - 256)
